"""Own items: each candidate answers a block that is its own, whatever the order, the workers and the kills."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from evomerge.archive import Archive
from evomerge.candidate import Candidate
from evomerge.schedules.own_items import OwnItems
from evomerge.workers.in_process import InProcessPool
from tests.evomerge.campaign.test_campaign import Interrupting
from tests.evomerge.killing import contents, killed_and_resumed_equals_whole
from tests.evomerge.several_workers import SeveralWorkers
from tests.evomerge.toy import weights_recipe
from tests.evomerge.toy_schedules import (
    ITEMS,
    N_OWN,
    TASK_OF,
    CountingWorker,
    all_answers,
    ingredients,
    own_items,
    run_schedule,
    weights_of,
)


def run_own(path: Path, name: str, evaluations: int = 27, **options: object) -> Archive:
    return run_schedule(path, name, evaluations, own_items, **options)


def test_candidates_answer_as_many_items_each_its_own_and_all_items_as_often(tmp_path: Path) -> None:
    archive = run_own(tmp_path / "a.sqlite", "random", 3 + 40)
    answered = {c.number: archive.scores(c.number, "search") for c in archive.candidates()}
    proposals = [scores for n, scores in answered.items() if n >= 3 and scores is not None]
    assert {len(scores.item_ids) for scores in proposals} == {N_OWN}
    assert len({scores.item_ids for scores in proposals}) == 40
    often = Counter(item for scores in proposals for item in scores.item_ids)
    assert max(often.values()) - min(often[item] for item in ITEMS) <= 1
    for candidate in archive.candidates():  # and each was scored on just these
        scores, right = answered[candidate.number], all_answers(weights_of(candidate))
        assert scores is not None
        assert scores.values.tolist() == [right[item] for item in scores.item_ids]


def test_landmarks_answer_several_blocks_and_those_that_constraints_are_measured_by_everything(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "a.sqlite", "")
    given = replace(ingredients(archive, "random"), own=N_OWN, bound_by=frozenset(["beta"]))
    schedule = OwnItems(given, landmarks=3)
    landmarks = [Candidate(i, weights_recipe(i / 2, 0.0), name) for i, name in enumerate(("alpha", "beta", "mean"))]
    items = [schedule.items(landmark).items for landmark in landmarks]
    assert items[1] is None
    assert len(items[0] or ()) == len(items[2] or ()) == 3 * N_OWN
    assert items[0] != items[2]
    assert {TASK_OF[item] for item in items[0] or ()} == {"sums", "words"}
    everything = OwnItems(given, landmarks=None)
    assert everything.items(landmarks[0]).items == ITEMS


def test_what_answering_costs_is_asked_with_the_questions_and_counts_for_none(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "a.sqlite", "")
    costs_of = {item: f"length/{item}" for item in ITEMS if TASK_OF[item] == "words"}
    task_of = {**TASK_OF, **dict.fromkeys(costs_of.values(), "length")}

    def with_costs(questions: Sequence[str]) -> tuple[str, ...]:
        return (*questions, *(costs_of[question] for question in questions if question in costs_of))

    given = replace(ingredients(archive, "random"), task_of=task_of, own=N_OWN, with_costs=with_costs)
    found = OwnItems(given, landmarks=4).items(Candidate(3, weights_recipe(0.5, 0.0), None, 0)).items or ()
    questions = [item for item in found if task_of[item] != "length"]
    assert len(questions) == N_OWN
    assert set(found) == {*questions, *(costs_of[item] for item in questions if item in costs_of)}
    archive.close()


def test_a_recipe_that_was_scored_is_scored_again_on_items_of_its_own(tmp_path: Path) -> None:
    worker = CountingWorker()
    archive = run_own(tmp_path / "a.sqlite", "again", 3 + 4, pool=InProcessPool(lambda: worker))
    assert worker.answered == 3 * 4 * N_OWN + 4 * N_OWN
    one, other = (archive.scores(number, "search") for number in (3, 4))
    assert one is not None
    assert other is not None
    assert one.item_ids != other.item_ids


@pytest.mark.parametrize("after", [2, 9, 20])
def test_interrupted_anywhere_it_resumes_to_the_same_archive(tmp_path: Path, after: int) -> None:
    run_own(tmp_path / "whole.sqlite", "cma_es").close()
    with pytest.raises(KeyboardInterrupt):
        run_own(tmp_path / "cut.sqlite", "cma_es", pool=Interrupting(InProcessPool(CountingWorker), after))
    run_own(tmp_path / "cut.sqlite", "cma_es").close()
    assert contents(tmp_path / "cut.sqlite") == contents(tmp_path / "whole.sqlite")


@pytest.mark.parametrize("name", ["nsga2", "random"])
def test_completion_order_changes_nothing(tmp_path: Path, name: str) -> None:
    run_own(tmp_path / "one.sqlite", name).close()
    run_own(tmp_path / "four.sqlite", name, pool=SeveralWorkers(CountingWorker, 4)).close()
    assert contents(tmp_path / "four.sqlite") == contents(tmp_path / "one.sqlite")


def test_sigkill_at_a_random_moment_loses_nothing(tmp_path: Path) -> None:
    killed_and_resumed_equals_whole(tmp_path, "own items nsga2", seed=1)
