"""Landmarks besides the space's own: which are chosen, and that a search has them for good."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evomerge as em
from evomerge.api.sections import campaign
from evomerge.archive import Archive
from evomerge.assembly.further_landmarks import FurtherLandmarks, choose_landmarks
from evomerge.config import CampaignConfig
from evomerge.optimisers.problem import RULES
from search_spaces.recipes.groups import Groups
from search_spaces.spaces.weight_space import WeightSpace
from tests.conftest import Family
from tests.evomerge.conftest import write_tasks
from tests.evomerge.killing import contents

Searched = Callable[..., em.Run]
OWN = ["base", "alpha", "beta", "uniform mean", "default TIES"]
ARITHMETIC = ["task arithmetic 0.3", "task arithmetic 0.5", "task arithmetic 0.7", "task arithmetic 1"]


@pytest.fixture
def searched(tmp_path: Path, family: Family, monkeypatch: pytest.MonkeyPatch) -> Searched:
    write_tasks(tmp_path)
    monkeypatch.chdir(tmp_path)
    arguments: dict[str, Any] = {
        "parents": list(family.experts.values()),
        "base": family.base,
        "objectives": {"sums": "sums.jsonl", "words": ["words.jsonl"]},
        "space": em.spaces.Weights("task_arithmetic", layer_blocks=1, modules=["all"]),
        "optimiser": em.optimisers.CmaEs(population=4),
        "evaluations": 14,
        "run_dir": "run",
        "export": {"dtype": "float32"},
        "landmarks": ["task_arithmetic", "sce"],
    }
    return lambda **changes: em.search(**{**arguments, **changes})


def labels(run: em.Run) -> list[str]:
    return [row.label for row in run.candidates if row.label is not None]


def chosen(family: Family, tmp_path: Path, too_dear: Callable[..., str], **changes: Any) -> dict[str, list[float]]:
    config, _ = campaign(list(map(str, family.experts.values())), ["python:m:f"], base=str(family.base), **changes)
    space = space_of(config)
    archive = Archive.create(tmp_path / "a.sqlite", "")
    return {k: list(v) for k, v in choose_landmarks(config, space, archive, too_dear, print).chosen.items()}


def space_of(config: CampaignConfig) -> WeightSpace:
    genes = {"weight": (0.0, 1.5)}
    return WeightSpace(config.sources, "base", n_layers=2, operators=["linear"], groups=Groups(1), genes=genes)


def test_named_landmarks_are_scored_first_after_those_of_the_space(searched: Searched) -> None:
    run = searched()
    assert labels(run) == [*OWN, *ARITHMETIC, "default sce"]
    assert [row.number for row in run.candidates if row.label] == list(range(10))
    weights = {row.label: {i.parameters.get("weight") for i in row.recipe.rules[0].inputs} for row in run.candidates}
    assert [weights[name] for name in ARITHMETIC] == [{0.3}, {0.5}, {0.7}, {1.0}]


def test_the_search_begins_around_the_best_landmark_of_its_space(searched: Searched) -> None:
    run = searched(optimiser=em.optimisers.CmaEs(sigma0=1e-3, population=4))
    mean_of = {
        row.label: row.estimate.mean for row in run.candidates if row.label in {*OWN, *ARITHMETIC} - {"default TIES"}
    }
    best = max(mean_of.values())
    first = np.array(next(row.candidate.genome for row in run.candidates if row.label is None))
    starts = {"base": 0.0, "uniform mean": 0.5, **{name: float(name.split()[-1]) for name in ARITHMETIC}}
    expected = [np.full(2, value / 1.5) for name, value in starts.items() if mean_of[name] == best]
    expected += [np.eye(2)[i] / 1.5 for i, name in enumerate(("alpha", "beta")) if mean_of[name] == best]
    assert min(np.abs(first - start).max() for start in expected) < 0.01


@pytest.mark.parametrize(
    ("after", "optimiser"),
    [(3, em.optimisers.CmaEs(population=4)), (12, em.optimisers.CmaEs(population=4)), (12, em.optimisers.Map())],
    ids=["among landmarks", "cma_es", "map"],
)
def test_a_stopped_search_resumes_to_the_archive_of_one_that_was_not(
    searched: Searched, after: int, optimiser: em.optimisers.OptimiserOptions
) -> None:
    told = iter(range(1000))

    def stop(event: object) -> None:
        if isinstance(event, em.events.CandidateTold) and next(told) == after:
            raise em.StopSearch

    whole = searched(run_dir="whole", optimiser=optimiser)
    searched(run_dir="part", callbacks=stop, optimiser=optimiser)
    part = searched(run_dir="part", optimiser=optimiser)
    assert contents(part.directory / "archive.sqlite") == contents(whole.directory / "archive.sqlite")


def test_none_leaves_the_landmarks_and_the_start_as_they_are(searched: Searched) -> None:
    run = searched(landmarks="none", optimiser=em.optimisers.CmaEs(sigma0=1e-3, population=4))
    assert labels(run) == OWN
    first = next(row.candidate.genome for row in run.candidates if row.label is None)
    assert np.asarray(first) == pytest.approx([0.5, 0.5], abs=0.01)


def test_verification_compares_with_the_best_of_task_arithmetic(searched: Searched) -> None:
    run = searched()
    names = [row.name for row in run.verify(top=1).rows]
    arithmetic = [name for name in names if name in ARITHMETIC]
    means = {row.label: row.estimate.mean for row in run.candidates if row.label in ARITHMETIC}
    assert arithmetic == [max(means, key=lambda name: means[name])]
    assert "default sce" in names


@pytest.mark.parametrize(
    ("evaluations", "expected"), [(17, []), (18, [0.5]), (24, [0.5, 0.7, 0.3]), (200, [0.5, 0.7, 0.3, 1.0])]
)
def test_all_landmarks_together_are_at_most_a_third_of_the_evaluations(
    family: Family, tmp_path: Path, evaluations: int, expected: list[float]
) -> None:
    found = chosen(
        family,
        tmp_path,
        lambda operator, _: "" if operator == "task_arithmetic" else "too slow",
        evaluations=evaluations,
    )
    assert found == ({"task_arithmetic": expected} if expected else {})


def test_a_landmark_that_takes_long_to_prepare_is_left_out_unless_it_is_named(family: Family, tmp_path: Path) -> None:
    (tmp_path / "named").mkdir()
    slow = chosen(family, tmp_path, lambda operator, _: "too slow" if operator == "wudi" else "")
    assert "wudi" not in slow
    assert "regmean" in slow
    assert list(chosen(family, tmp_path / "named", lambda *_: "too slow", landmarks=["wudi"])) == ["wudi"]


def test_auto_scores_the_middle_of_the_space_where_no_landmark_is_there(family: Family, tmp_path: Path) -> None:
    def middle(space: em.spaces.Weights, optimiser: em.optimisers.OptimiserOptions, evaluations: int = 200) -> bool:
        config, _ = campaign(
            list(map(str, family.experts.values())),
            ["python:m:f"],
            base=str(family.base),
            space=space,
            optimiser=optimiser,
            evaluations=evaluations,
        )
        searched = WeightSpace(
            config.sources,
            "base",
            n_layers=2,
            operators=["task_arithmetic"],
            groups=Groups(1, ("all",)),
            genes=dict(space.genes),
        )
        archive = Archive.create(tmp_path / f"{len([*tmp_path.iterdir()])}.sqlite", "")
        found = choose_landmarks(config, searched, archive, lambda *_: "", print)
        names = [landmark.name for landmark in found.landmarks(searched, {})]
        assert ("middle of the space" in names) == found.middle
        return found.middle

    wide, narrow = ({"weight": (0.0, end)} for end in (1.6, 1.0))
    weights = [em.spaces.Weights("task_arithmetic", layer_blocks=1, genes=genes) for genes in (wide, narrow)]
    assert middle(weights[0], em.optimisers.CmaEs())
    assert not middle(weights[1], em.optimisers.CmaEs())  # it is task arithmetic 0.5
    assert not middle(weights[0], em.optimisers.Random())  # which would not know what to do with it
    assert not middle(weights[0], em.optimisers.CmaEs(), evaluations=24)


def test_who_proposes_a_landmark_in_the_spaces_own_words_is_told_its_scores(searched: Searched) -> None:
    space = em.spaces.Weights("linear", weights="affine", layer_blocks=1, modules=["all"])
    run = searched(space=space, optimiser="greedy_soup", landmarks="none", evaluations=8)
    with contextlib.closing(Archive.read(run.directory / "archive.sqlite")) as archive:
        records = {record.number: record for record in archive.records()}
        alone = {str(c.label): c.number for c in archive.landmarks() if c.label in ("alpha", "beta", "uniform mean")}
        soups = [archive.scores(number, "search") for number in (5, 6, 7)]
        assert soups == [archive.scores(number, "search") for number in alone.values()]
    assert [records[number].seconds for number in (5, 6, 7)] == [0.0] * 3
    assert all(records[number].seconds > 0.0 for number in alone.values())


def test_a_search_goes_on_by_the_rules_of_proposing_that_it_began_by(searched: Searched) -> None:
    run = searched()
    archive = Archive.open(run.directory / "archive.sqlite")
    noted = json.loads(str(archive.noted("landmarks")))
    assert noted.pop("rules") == RULES
    archive.note("landmarks", json.dumps(noted))  # as an older evomerge wrote it
    found = FurtherLandmarks.of(archive)
    archive.close()
    assert found is not None
    assert found.rules == 1
    assert [row.number for row in run.resume(evaluations=16).candidates] == list(range(16))


def test_a_search_from_before_there_were_any_goes_on_without(searched: Searched) -> None:
    run = searched(evaluations=7, landmarks="none")
    with Archive.open(run.directory / "archive.sqlite").transaction() as connection:
        connection.execute("DELETE FROM campaign WHERE key = 'landmarks'")
    assert labels(run.resume(evaluations=9)) == OWN


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (["tise"], "expected an operator that has defaults, such as linear"),
        (["slerp"], "found 'slerp'"),
        (["sce", "sce"], "expected each operator once, found 'sce'"),
    ],
)
def test_what_cannot_be_a_landmark_is_told(searched: Searched, value: list[str], words: str) -> None:
    with pytest.raises(em.ConfigError, match=words):
        searched(landmarks=value)


def test_no_parent_may_have_a_landmarks_name(searched: Searched, family: Family) -> None:
    with pytest.raises(em.ConfigError, match=r"a name that is not taken by the program, found .task arithmetic 0\.5"):
        searched(parents={"task arithmetic 0.5": family.experts["alpha"], "b": family.experts["beta"]})
