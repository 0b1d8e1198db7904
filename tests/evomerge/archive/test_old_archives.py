"""A run of an older evomerge, which raced, rotated items and scored the front further, can still be read."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import yaml

from evomerge.archive import Archive
from evomerge.campaign.run_directory import recorded_config
from evomerge.candidate import Scored
from evomerge.results.front import read_front
from fitness.scores import ItemScores
from tests.evomerge.archives import make_version_2

RACING = {"delta": 0.05, "first_look": 4, "rungs": [0.5], "keep": 0.5, "screen": {"keep": 0.5, "prompts": 8}}


def make_old(path: Path, *, rotated: bool) -> None:
    """Turn an archive into what an older evomerge left: its keys, its kinds of events, and two stopped candidates."""
    archive = Archive.open(path)
    recorded = yaml.safe_load(archive.campaign)
    del recorded["schedule"]
    recorded["racing"] = {**RACING, "rotate": 2 if rotated else None}
    archive.note("campaign", yaml.safe_dump(recorded))
    best = read_front(archive).points[0]
    number, estimate = best.candidate.number, best.estimate
    scores = archive.scores(number, "search")
    assert scores is not None
    first = Scored(best.candidate, ItemScores(scores.item_ids[:4], scores.values[:4]), 0.5)
    screen = Scored(best.candidate, ItemScores(("screen:words/1",), np.array([-0.25])), 0.25)
    archive.told([(screen, None)], split="screen", kind="screened")
    archive.told([(first, None)], kind="held")
    archive.told([(Scored(best.candidate, scores, 1.0), estimate)], kind="rescored")
    with archive.transaction() as connection:
        if rotated:
            connection.execute("INSERT INTO events (at, kind) VALUES (1.0, 'retold')")
            connection.execute(
                "INSERT INTO outcomes SELECT (SELECT max(seq) FROM events), 0, candidate, split, seconds, item_set,"
                " scores, objectives, NULL, NULL, NULL, NULL, NULL FROM outcomes WHERE candidate = ?"
                " AND split = 'search' AND objectives IS NOT NULL LIMIT 1",
                (number,),
            )
        for candidate, reason in ((6, "worse"), (7, "hopeless")):
            (objectives,) = connection.execute(
                "SELECT objectives FROM outcomes WHERE candidate = ? AND split = 'search'", (candidate,)
            ).fetchone()
            packed = json.dumps({"objectives": json.loads(objectives), "stopped": [reason, number, 4, 0.25]})
            connection.execute("UPDATE outcomes SET objectives = ? WHERE candidate = ?", (packed, candidate))
    archive.close()
    make_version_2(path)


@pytest.fixture
def old(evomerge, campaign_file, tmp_path: Path) -> Path:
    path = campaign_file(budget={"evaluations": 10})
    assert evomerge("run", path, "--run-dir", tmp_path / "run").code == 0
    return path


def test_it_opens_and_pareto_verify_export_and_report_read_it(evomerge, old: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    make_old(run / "archive.sqlite", rotated=True)
    with sqlite3.connect(run / "archive.sqlite") as connection:
        kinds = {kind for (kind,) in connection.execute("SELECT kind FROM events")}
        assert {"held", "screened", "retold", "rescored", "told", "asked"} <= kinds
    assert recorded_config(Archive.read(run / "archive.sqlite")).schedule.kind == "all_items"
    front = json.loads(evomerge("pareto", run, "--json").out)
    assert {stopped["reason"] for stopped in front["stopped"]} == {"worse", "hopeless"}
    unknown = dict.fromkeys(["rank_correlation", "items", "among_scored"])
    assert front["screen"] == {"screened": 1, "set_aside": 0, **unknown}
    assert not {6, 7} & {point["candidate"] for point in front["front"]}
    for command in (["report", run], ["verify", run, "--top", 1], ["export", run, "--pick", "winner"]):
        done = evomerge(*command, *(["--out", tmp_path / "out"] if command[0] == "export" else []))
        assert done.code == 0, done.err
    assert (tmp_path / "out" / "model.safetensors").exists()
    assert (run / "report.html").stat().st_size > 100_000


def test_a_search_that_rotated_its_items_cannot_go_on_and_says_why(evomerge, old: Path, tmp_path: Path) -> None:
    make_old(tmp_path / "run" / "archive.sqlite", rotated=True)
    done = evomerge("run", old, "--run-dir", tmp_path / "run", "--evaluations", 12)
    assert done.code == 1
    assert "found one that rotated them (racing.rotate), which evomerge no longer does" in " ".join(done.err.split())
