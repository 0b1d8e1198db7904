"""A whole campaign with a screen on tiny real models."""

from __future__ import annotations

import json

import pytest

from evomerge.archive import Archive

FLOW = {"kind": "layer_flow", "repeats": 1}


@pytest.mark.parametrize(
    "space",
    [pytest.param(None, id="weights"), pytest.param(FLOW, id="layer flow", marks=pytest.mark.slow)],
)
def test_half_of_each_generation_is_set_aside_and_pareto_says_so(evomerge, campaign_file, tmp_path, space) -> None:
    chosen = {} if space is None else {"space": space}
    objectives = [
        {"name": "sums", "tasks": ["sums.jsonl"], "expert": "beta"},
        {"name": "words", "tasks": ["words.jsonl"]},
    ]
    path = campaign_file(
        objectives=objectives, schedule={"kind": "screen", "prompts": 6}, budget={"evaluations": 20}, **chosen
    )
    done = evomerge("run", path, "--run-dir", tmp_path / "run")
    assert done.code == 0, done.err
    archive = Archive.read(tmp_path / "run" / "archive.sqlite")
    n_landmarks = len(archive.landmarks())
    screened = archive.screened()
    assert sorted(screened) == list(range(n_landmarks, 20))
    assert {len(record.scores.item_ids) for record in screened.values()} == {6}
    assert all(0.0 <= -record.scores.values.mean() <= 0.7 for record in screened.values())
    stops = [r.estimate.stopped for r in archive.records() if r.estimate is not None]
    aside = sum(stop is not None and stop.reason == "screen" for stop in stops)
    # Of each generation of four; the last may be a part of one.
    assert aside == sum(n // 2 for n in [4] * ((20 - n_landmarks) // 4) + [(20 - n_landmarks) % 4])
    archive.close()
    told = json.loads(evomerge("pareto", tmp_path / "run", "--json").out)["screen"]
    assert (told["screened"], told["set_aside"]) == (20 - n_landmarks, aside)
    table = " ".join(evomerge("pareto", tmp_path / "run").out.split())
    assert f"The screen set {aside} of {20 - n_landmarks} candidates aside." in table
    reported = evomerge("report", tmp_path / "run")
    assert reported.code == 0, reported.err
    assert (
        f"The screen set {aside} of {20 - n_landmarks} candidates aside" in (tmp_path / "run/report.html").read_text()
    )


def test_python_tasks_alone_cannot_be_screened(evomerge, campaign_file, tmp_path) -> None:
    (tmp_path / "norms.py").write_text(
        "def score(model, tokenizer):\n"
        "    total = float(sum(p.abs().mean() for p in model.parameters()))\n"
        "    return {str(i): 1 / (1 + total + i) for i in range(20)}\n"
    )
    tasks = [{"name": "norms", "tasks": ["python:norms.py:score"]}]
    path = campaign_file(objectives=tasks, optimiser={"kind": "cma_es", "population": 4}, schedule="screen")
    done = evomerge("run", path, "--run-dir", tmp_path / "run")
    assert done.code == 1
    assert "schedule: expected search items with prompts for a screen, found none" in done.err
