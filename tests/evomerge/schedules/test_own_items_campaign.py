"""A whole campaign with items of their own on tiny real models, and one that may end early."""

from __future__ import annotations

import json
import re

from evomerge.archive import Archive


def test_a_campaign_of_own_items_is_shown_pooled_verified_and_goes_on(evomerge, campaign_file, tmp_path) -> None:
    objectives = [
        {"name": "sums", "tasks": ["sums.jsonl"], "at_least": "alpha - 0.5"},
        {"name": "words", "tasks": ["words.jsonl"]},
    ]
    path = campaign_file(
        objectives=objectives, schedule="own_items", budget={"evaluations": 14, "items": 4}, landmarks="none"
    )
    run = tmp_path / "run"
    planned = evomerge("plan", path)
    assert planned.code == 0, planned.err
    assert "own items 4 for each candidate" in " ".join(planned.out.replace("│", " ").split())
    done = evomerge("run", path, "--run-dir", run)
    assert re.search(r"best mean 0\.\d+ of its own items", done.out + done.err)
    assert done.code == 0, done.err
    assert "4 of " in done.err + done.out
    archive = Archive.read(run / "archive.sqlite")
    answered = {c.label or c.number: archive.scores(c.number, "search") for c in archive.candidates()}
    n_all = int(archive.noted("search_items") or 0)
    archive.close()
    assert len(answered["alpha"].item_ids) == n_all  # a constraint is measured by it
    own = [scores.item_ids for key, scores in answered.items() if isinstance(key, int)]
    assert {len(ids) for ids in own} == {4}
    assert len(set(own)) > 1
    front = json.loads(evomerge("pareto", run, "--json").out)["front"]
    kinds = {o["kind"] for point in front for o in point["objectives"].values()}
    assert "pooled" in kinds
    assert "pooled" in evomerge("pareto", run).out
    verified = evomerge("verify", run, "--top", "2")
    assert verified.code == 0, verified.err
    reported = evomerge("report", run)
    assert reported.code == 0, reported.err
    again = evomerge("run", path, "--run-dir", run, "--evaluations", "16")
    assert again.code == 0, again.err


def test_an_optimiser_that_cannot_tell_what_is_left_to_gain_says_so(evomerge, campaign_file, tmp_path) -> None:
    path = campaign_file(budget={"evaluations": 9, "stop": "auto"}, landmarks="none")
    done = evomerge("run", path, "--run-dir", tmp_path / "run")
    assert done.code == 0, done.err
    said = " ".join((done.out + done.err).split())
    assert "cannot tell what is left to gain, so the search ends at budget.evaluations" in said
    planned = " ".join(evomerge("plan", path).out.replace("│", " ").split())
    assert "the search at most" in planned


def test_bayes_has_items_of_their_own_by_default_and_ends_once_it_expects_too_little(
    evomerge, campaign_file, tmp_path
) -> None:
    groups = {"layer_blocks": 1, "modules": ["all"]}
    path = campaign_file(
        optimiser="bayes",
        space={"kind": "weights", "operator": "task_arithmetic", "groups": groups},
        budget={"evaluations": 40, "items": 6, "stop": 1.0},  # more than accuracies can gain: 30 candidates are enough
        landmarks="none",
    )
    done = evomerge("run", path, "--run-dir", tmp_path / "run")
    assert done.code == 0, done.err
    assert "kind: own_items" in (tmp_path / "run" / "campaign.yaml").read_text()
    said = " ".join((done.out + done.err).split())
    assert "the optimiser expects to gain at most +0." in said
    archive = Archive.read(tmp_path / "run" / "archive.sqlite")
    assert (archive.noted("ending"), archive.n_candidates) == ("converged", 30)
    archive.close()
