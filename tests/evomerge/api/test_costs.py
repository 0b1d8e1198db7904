"""Costs as objectives, end to end: measured, bounded, searched, picked, verified and shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import evomerge as em
from evomerge.archive import Archive
from evomerge.campaign.constraints import Constraints
from search_spaces.recipes.layer_path import steps_of
from tests.conftest import Family
from tests.fitness.conftest import completions, write_jsonl

Searched = Callable[..., em.Run]
LENGTH = {"name": "length", "cost": "tokens"}
SUMS = {"name": "sums", "tasks": ["sums.jsonl"]}
NSGA2 = em.optimisers.Pymoo(kind="nsga2", population=4)


def answers(n: int = 40) -> list[dict[str, Any]]:
    Path("answers.jsonl").write_text("")
    write_jsonl(Path("answers.jsonl"), completions(n))
    return [{"name": "answers", "tasks": ["answers.jsonl"]}]


def tokens_of(archive: Archive, number: int) -> float:
    scores = archive.scores(number, "search")
    assert scores is not None
    return float(np.mean([v for i, v in zip(scores.item_ids, scores.values, strict=True) if ":tokens/" in i]))


def test_a_front_of_right_answers_against_tokens_is_searched_resumed_and_verified(
    searched: Searched,
) -> None:
    objectives = [*answers(), {**LENGTH, "at_most": "base + 3"}]
    run = searched(objectives=objectives, optimiser=NSGA2, evaluations=10)
    again = searched(objectives=objectives, optimiser=NSGA2, evaluations=6, run_dir="again").resume(10)
    with run.archive() as archive, again.archive() as other:
        told = archive.records("search")
        assert [r.estimate for r in told] == [r.estimate for r in other.records("search")]
        for record in told:
            assert record.estimate is not None
            right, length = record.estimate.objectives
            assert length.value == pytest.approx(tokens_of(archive, record.number))
            assert (length.cost, length.weight) == ("tokens", None)
            assert record.estimate.mean == right.value
        bound = Constraints.of(archive)
        base = next(c.number for c in archive.landmarks() if c.label == "base")
        assert list(bound.thresholds.values()) == [pytest.approx(tokens_of(archive, base) - 3)]
        assert str(bound.bounds[0]) == "length at most base + 3"
    report = run.verify(top=2)
    length = -run.front.points[0].objective("length").value
    for shown in (run.front._repr_html_(), report._repr_html_()):
        assert "length (tokens, fewer is better)" in shown
    page = run.report().read_text(encoding="utf-8")
    assert re.search(r'"name": ?"length", ?"unit": ?"tokens", ?"better": ?"fewer is better"', page)
    assert f"<td>{length:.1f} ±" in run.front._repr_html_()
    run.export("best", "out")
    assert "length (tokens, fewer is better)" in Path("out/README.md").read_text(encoding="utf-8")


def test_a_budget_of_items_counts_questions(searched: Searched) -> None:
    run = searched(objectives=[*answers(), LENGTH], budget={"items": 5}, evaluations=6)
    with run.archive() as archive:
        for _, items in archive.answered("search"):
            questions = [item for item in items if ":tokens/" not in item]
            assert len(questions) == 5
            assert {i.replace("answers/", "answers:tokens/") for i in questions} == set(items) - set(questions)


def test_a_cost_changes_no_split_and_no_score_of_the_tasks(searched: Searched) -> None:
    plain = searched(objectives=answers(), evaluations=6, run_dir="plain")
    costed = searched(objectives=[*answers(), LENGTH], evaluations=6, run_dir="costed")
    with plain.archive() as archive, costed.archive() as other:
        for candidate in archive.candidates():
            before, now = archive.scores(candidate.number, "search"), other.scores(candidate.number, "search")
            assert before is not None
            assert now is not None
            kept = {i: v for i, v in zip(now.item_ids, now.values, strict=True) if ":tokens/" not in i}
            assert kept == dict(zip(before.item_ids, before.values, strict=True))


def test_a_halving_goes_on_by_both(searched: Searched) -> None:
    run = searched(objectives=[*answers(), LENGTH], optimiser=NSGA2, evaluations=12, schedule="halving")
    with run.archive() as archive:
        assert any(r.estimate is not None and r.estimate.stopped for r in archive.records("search"))


def test_costs_alone_are_searched_under_the_constraint_of_a_guard(searched: Searched) -> None:
    (right,) = answers()
    objectives = [{**right, "weight": 0.0, "at_least": "base - 0.5"}, LENGTH]
    run = searched(objectives=objectives, optimiser="cma_es", evaluations=8)
    with run.archive() as archive:
        estimates = [r.estimate for r in archive.records("search") if r.estimate is not None]
        assert [e.mean for e in estimates] == [e.objectives[1].value for e in estimates]


def weights_of(run: em.Run, number: int) -> dict[str, torch.Tensor]:
    run.export(number, f"out-{number}")
    return load_file(f"out-{number}/model.safetensors")


def test_exact_costs_are_those_of_the_exported_weights_and_have_no_error(searched: Searched, family: Family) -> None:
    costs = [{"name": cost, "cost": cost} for cost in ("depth", "parameters", "distance", "density")]
    run = searched(objectives=[SUMS, *costs], optimiser=NSGA2, evaluations=10)
    base = load_file(family.base / "model.safetensors")
    norm = sum(float((t.double() ** 2).sum()) for t in base.values())
    size = sum(t.numel() for t in base.values())
    for number in (0, 1, 9):
        own = weights_of(run, number)
        away = {name: own[name].double() - base[name].double() for name in base}
        distance = (sum(float((t**2).sum()) for t in away.values()) / norm) ** 0.5
        density = sum(int((t != 0).sum()) for t in away.values()) / size
        with run.archive() as archive:
            record = next(r for r in archive.records("search") if r.number == number)
        assert record.estimate is not None
        found = {o.name: (-o.value, o.stderr, o.kind) for o in record.estimate.objectives[1:]}
        assert found == {
            "depth": (2.0, 0.0, "full"),
            "parameters": (pytest.approx(size / 1e6, rel=1e-7), 0.0, "full"),  # scores are kept in 4 bytes
            "distance": (pytest.approx(distance, rel=1e-5), 0.0, "full"),
            "density": (pytest.approx(density), 0.0, "full"),
        }
        assert (number == 0) == (distance == 0.0), "the first landmark is the base"
    verified = run.verify(top=2).verification
    for winner in verified.winners:
        for comparison in winner.comparisons:
            for difference in comparison.objectives[1:]:
                assert difference.low == difference.value == difference.high


def test_a_candidate_with_items_of_its_own_has_what_they_cost(searched: Searched) -> None:
    objectives = [*answers(), LENGTH, {"name": "size", "cost": "parameters"}]
    run = searched(objectives=objectives, budget={"items": 5}, schedule="own_items", evaluations=8)
    with run.archive() as archive:
        own = {c.number: archive.scores(c.number, "search") for c in archive.candidates() if c.proposal is not None}
        asked = []
        for scores in own.values():
            assert scores is not None
            questions = [item for item in scores.item_ids if item.startswith("answers/")]
            assert len(questions) == 5
            measured = {item.replace("answers/", "answers:tokens/") for item in questions} | {"cost:parameters/search"}
            assert measured == set(scores.item_ids) - set(questions)
            asked.append(frozenset(questions))
        assert len(set(asked)) > 1
    for point in run.front:
        kinds = {o.name: (o.kind, o.stderr == 0.0) for o in point.estimate.objectives}
        assert kinds["size"] == ("full", True), "an exact number is pooled with nothing"


HALVES = em.spaces.LayerFlow(halves=True, scales=False)


def test_a_front_of_right_answers_against_depth_begins_at_paths_without_what_matters_least(searched: Searched) -> None:
    objectives = [SUMS, {"name": "depth", "cost": "depth"}]
    optimiser = em.optimisers.Pymoo(kind="nsga2", population=4, warm_start="importance")
    run = searched(objectives=objectives, space=HALVES, optimiser=optimiser, evaluations=14)
    with run.archive() as archive:
        starts = [c for c in archive.candidates() if c.label and c.label.startswith("warm start")]
        depths = {
            record.number: -record.estimate.objectives[1].value
            for record in archive.records("search")
            if record.estimate is not None
        }
        for candidate in archive.candidates_of(depths).values():
            steps = steps_of(candidate.recipe)
            assert depths[candidate.number] == sum(0.5 if step.without else 1.0 for step in steps)
    assert [depths[c.number] for c in starts] == [2.0, 1.5, 1.0], "whole, then one and two halves of four less"
    assert run.resume(16).n_candidates == 16
    shallow = min(depths, key=lambda number: depths[number])
    run.export(shallow, "shallow")
    tensors, depth = load_file("shallow/model.safetensors"), json.loads(Path("shallow/config.json").read_text())
    outlets = [t for name, t in tensors.items() if name.endswith(("o_proj.weight", "down_proj.weight"))]
    assert sum(bool(t.any()) for t in outlets) / 2 == depths[shallow] <= depth["num_hidden_layers"]


def test_importance_needs_a_space_of_paths(searched: Searched) -> None:
    with pytest.raises(em.EvomergeError, match="warm_start: importance: expected a space of kind layer_flow or joint"):
        searched(optimiser=em.optimisers.Pymoo(kind="nsga2", population=4, warm_start="importance"))


def test_seconds_are_measured_for_each_item_asked_alone(searched: Searched) -> None:
    run = searched(objectives=[*answers(), {"name": "time", "cost": "seconds"}], budget={"items": 4}, evaluations=5)
    with run.archive() as archive:
        scores = archive.scores(0, "search")
        assert scores is not None
        timed = [v for i, v in zip(scores.item_ids, scores.values, strict=True) if i.startswith("answers:seconds/")]
        assert len(timed) == 4
        assert max(timed) < 0.0


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        (
            [SUMS, LENGTH],
            "expected tasks whose answers are generated, found sums",
        ),
        (
            [SUMS, {**LENGTH, "tasks": ["sums.jsonl"]}],
            "expected tasks whose answers are generated, found sums",
        ),
        ([{**SUMS, "at_most": 3}], "at_most: expected no such key without cost"),
        (
            [SUMS, {**LENGTH, "at_least": 3}],
            "better the less it is; write at_most",
        ),
        ([SUMS, {**LENGTH, "cost": "token"}], "cost"),
        ([LENGTH], "expected an objective with tasks, found costs alone"),
        ([SUMS, {"name": "depth", "cost": "depth", "tasks": ["sums.jsonl"]}], "no such key beside cost: depth"),
        ([SUMS, {**LENGTH, "at_most": "nobody"}], "at_most: expected a number or one of"),
    ],
)
def test_what_cannot_be_measured_is_said(searched: Searched, objectives: Any, message: str) -> None:
    with pytest.raises(em.EvomergeError, match=message):
        searched(objectives=objectives)
