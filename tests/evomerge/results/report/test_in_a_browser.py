"""The report in a real browser: names are data there too. Skipped where there is no Chromium."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.candidate import Candidate, Failure, Scored
from evomerge.results.pages.frozen import report
from fitness.scores import Estimate, ItemScores, ObjectiveEstimate
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
RUNS = "document.title='HOSTILE'"
NAMES = (
    f"<img src=x onerror={RUNS}>",
    f"</script><script>{RUNS}</script>",
    f"\"'><svg onload={RUNS}>",
    f"javascript:{RUNS}",
    "{{ 7 * 7 }} ${7*7} `x` &lt;b&gt;",
    f"<a href='javascript:{RUNS}' onmouseover={RUNS}>click</a>",
)


def hostile_archive(path: Path) -> Archive:
    """A campaign of which every name, id and reason is markup."""
    archive = Archive.create(path, "name: plain\nparents: [a, b]\nobjectives: []\n")
    rng = np.random.default_rng(0)
    parents = {name: ParentSource(f"/models/{name.replace('/', ' ')}") for name in NAMES}
    ids = tuple(f"{name.replace('/', ' ')}/{i}" for i in range(5) for name in NAMES)
    for number, name in enumerate((*NAMES, *NAMES)):
        inputs = (Input(name, {"weight": 1.0}), Input(NAMES[0], {"weight": number / 10}))
        label = name if number < len(NAMES) else None
        proposal = None if label else number - len(NAMES)
        recipe = Recipe(parents, NAMES[0], (Rule("linear", inputs),))
        candidate = Candidate(number, recipe, label, proposal, None if label else rng.random(2))
        archive.asked([candidate], None if label else 1)
        if number == len(NAMES) + 2:
            archive.told([(Failure(candidate, "evaluate", name, 1, f"Traceback: {name}"), None)])
            continue
        values = (rng.random(len(ids)) < 0.5).astype(float)
        objectives = tuple(ObjectiveEstimate(o, float(rng.random()), 0.05, len(ids)) for o in NAMES[:2])
        archive.told([(Scored(candidate, ItemScores(ids, values), 1.0), Estimate("search", objectives))])
    return archive


class Tags(HTMLParser):
    """Collects what a browser made of the page: titles, and attributes that run code."""

    def __init__(self) -> None:
        super().__init__()
        self.running: list[tuple[str, str, str | None]] = []
        self.images: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name.startswith("on") or (value or "").strip().lower().startswith("javascript:"):
                self.running.append((tag, name, value))
            if tag == "img" and name == "src":
                self.images.append(value)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_hostile_names_do_nothing_in_a_browser(tmp_path: Path) -> None:
    archive = hostile_archive(tmp_path / "archive.sqlite")
    page = report(archive, tmp_path / "report.html", png_dir=None)
    archive.close()
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command = [str(CHROMIUM), *options, "--virtual-time-budget=8000", "--enable-logging=stderr", "--dump-dom"]
    shown = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=300, check=True)
    document, tags = shown.stdout, Tags()
    tags.feed(document)
    title = document.partition("<title>")[2].partition("</title>")[0]
    assert "HOSTILE" not in title
    assert "plain" in title
    assert document.count("<canvas") >= 2, "the figures were drawn"
    assert tags.running == []
    assert "x" not in tags.images
    assert "Uncaught" not in shown.stderr
