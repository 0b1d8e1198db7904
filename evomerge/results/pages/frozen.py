"""The report: the studio's pages of one run, frozen into one file that needs neither a network nor a server."""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from evomerge.archive import Archive
from evomerge.results.local_paths import without_directories, yaml_without_directories
from evomerge.results.pages.compare import Side, compare
from evomerge.results.pages.detail import detail
from evomerge.results.pages.front import front
from evomerge.results.pages.overview import overview
from evomerge.results.pages.plain import as_json
from evomerge.results.pages.progress import progress
from evomerge.results.pages.snapshot import Snapshot, read_snapshot
from evomerge.results.pages.table import Query, Table
from evomerge.results.pages.verdict import verdict
from evomerge.results.report.details import by_interest
from evomerge.results.report.report_files import prepared_report, save_figures
from evomerge.results.report.verdict import headline
from evomerge.results.screen_agreement import read_screen_agreement
from evomerge.version import __version__
from evomerge.visible import visible, visible_data

LARGEST = 2_000_000  # bytes of a report
_DRAWN = 1500  # points besides the front and what is named
_MOST_PAIRS, _MOST_ITEMS = 16, 40
_ROWS, _DETAILS, _PAIRS = 350_000, 400_000, 200_000  # bytes

_POLICY = (
    "default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="evomerge {version}">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{name} · evomerge report</title>
<style>{sheet}</style>
</head>
<body>
<div id="studio"><noscript><h1>{name}</h1><p>{headline}</p></noscript></div>
<script id="data" type="application/json">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def report(archive: Archive, out_file: Path, *, png_dir: Path | None) -> Path:
    """Write the report of a campaign, finished or running, and its main figures as PNG when a directory is given.

    The page is replaced as a whole: whoever reloads it never sees half of one. Without matplotlib there are no PNGs.

    Raises:
        ReportError: it cannot be written where it should be.
    """
    write = prepared_report(out_file)
    snapshot = replace(read_snapshot(archive), ours=False)  # questions stay where they are: a page is passed on
    write(_page(snapshot, archive))
    if png_dir is not None:
        save_figures(archive, snapshot.contents, snapshot.prediction, png_dir)
    return out_file


def _page(snapshot: Snapshot, archive: Archive) -> str:
    built = files("evomerge.results.pages") / "built"
    script, sheet = ((built / name).read_text(encoding="utf-8") for name in ("studio.js", "studio.css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _PAGE.format(
        version=html.escape(__version__),
        policy=_POLICY.format(digest=digest),
        name=html.escape(visible(snapshot.contents.name)),
        headline=html.escape(visible(headline(snapshot.contents).text)),
        sheet=sheet,
        script=script,
        data=as_json(without_directories(visible_data(_documents(snapshot, archive)), "…/")),
    )


def _documents(snapshot: Snapshot, archive: Archive) -> dict[str, Any]:
    """Return what the page's scripts ask for, as much as fits, the most interesting candidates first."""
    told, most_of_interest = read_screen_agreement(archive), list(dict.fromkeys(by_interest(snapshot.contents)))
    head, found = overview(snapshot, live=False, screen=told), progress(snapshot)
    shown = archive.candidates_of(most_of_interest[:200])  # those whose recipes can be read
    details = ((str(n), detail(snapshot, archive, n)) for n in most_of_interest[:200] if n in shown)
    return {
        "overview": head | {"key": "report", "directory": "RUN_DIR", "version": ""},
        "documents": {
            "front": front(snapshot, _DRAWN),
            "search": found | {"campaign": yaml_without_directories(found["campaign"])},
            "verdict": verdict(snapshot),
        },
        "rows": _rows(snapshot),
        "details": dict(_within(details, _DETAILS)),
        "compared": dict(_within(_compared(snapshot, archive, [n for n in most_of_interest if n in shown]), _PAIRS)),
        "notes": {},
    }


def _rows(snapshot: Snapshot) -> dict[str, Any]:
    table = Table(snapshot)
    order = table.order(Query(sort="mean", descending=True)).tolist()
    rows = list(_within(((str(i), table.row(i)) for i in order), _ROWS))
    heads = [{"key": f"g{k}", "name": name} for k, name in enumerate(table.gene_names)]
    return {"total": len(rows), "all": len(order), "genes": heads, "rows": [row for _, row in rows]}


def _compared(snapshot: Snapshot, archive: Archive, first: Sequence[int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield comparisons of the most interesting candidates with each other, few items of each."""
    pairs = sorted(itertools.combinations(range(min(len(first), 12)), 2), key=sum)
    for a, b in pairs[:_MOST_PAIRS]:
        found = compare(*(Side(snapshot, archive, first[k], shows_answers=False) for k in (a, b)))
        for split in found["splits"].values():
            split["listed"] = split["listed"][:_MOST_ITEMS]
        yield f"{first[a]}.{first[b]}", found


def _within(found: Iterator[tuple[str, dict[str, Any]]], most: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what fits into some bytes of JSON, the first in any case."""
    size = 0
    for count, (key, document) in enumerate(found):
        size += len(json.dumps(document, ensure_ascii=False).encode())
        if count and size > most:
            return
        yield key, document
