"""Whom the next candidates race."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from evomerge.campaign.rivals import MOST_RIVALS, Rivals, spread
from evomerge.candidate import Candidate, Evaluation, Failure
from fitness.scores import Estimate, ItemScores, ObjectiveEstimate
from tests.evomerge.toy import weights_recipe

MEAN = {"sums": 1.0, "words": 3.0}


def evaluation(number: int, sums: float, words: float, *, violation: float = 0.0, landmark: bool = False) -> Evaluation:
    proposal = None if landmark else number
    candidate = Candidate(number, weights_recipe(0.5, 0.5), "a landmark" if landmark else None, proposal)
    objectives = tuple(ObjectiveEstimate(name, value, 0.1, 4) for name, value in (("sums", sums), ("words", words)))
    return Evaluation(candidate, Estimate("search", objectives), ItemScores((), np.empty(0)), violation)


def numbers(rivals: Rivals, generation: int | None) -> list[int]:
    return [rival.candidate.number for rival in rivals.now(generation)]


def started(weights: Mapping[str, float] | None = MEAN) -> Rivals:
    rivals = Rivals(weights)
    rivals.learn([evaluation(0, 0.9, 0.1, landmark=True), evaluation(1, 0.4, 0.5, landmark=True)])
    return rivals


def test_the_first_generation_races_the_best_landmark_by_the_weighted_mean() -> None:
    assert numbers(started(), 8) == [1]


def test_the_next_ones_race_the_last_of_the_better_half() -> None:
    rivals = started()
    rivals.now(8)
    rivals.learn([evaluation(2 + i, 0.5, 0.1 * i) for i in range(8)])
    assert numbers(rivals, 8) == [1]  # the same for all of a generation
    assert numbers(rivals, 16) == [6]


def test_failures_and_what_was_stopped_are_of_the_worse_half() -> None:
    rivals = started()
    rivals.now(8)
    stopped = [evaluation(2 + i, 0.9, 0.9, violation=0.1) for i in range(3)]
    failed = [Failure(evaluation(5, 0, 0).candidate, "merge", "no")]
    rivals.learn([*stopped, *failed, *(evaluation(6 + i, 0.1, 0.1 + 0.1 * i) for i in range(4))])
    assert numbers(rivals, 16) == [6]


def test_where_nobody_of_the_better_half_was_scored_whole_nobody_is_raced() -> None:
    rivals = started()
    rivals.now(8)
    rivals.learn([evaluation(2 + i, 0.9, 0.9, violation=0.1) for i in range(8)])
    assert numbers(rivals, 16) == []
    rivals.learn([evaluation(10 + i, 0.1, 0.1 * i) for i in range(8)])
    assert numbers(rivals, 24) == [14]


def test_small_generations_count_together() -> None:
    rivals = started()
    for g in range(3):
        assert numbers(rivals, 2 * g + 2) == [1]
        rivals.learn([evaluation(2 + 2 * g + i, 0.5, 0.1 * (2 * g + i)) for i in range(2)])
    assert numbers(rivals, 8) == [5]


def test_without_generations_the_best_so_far_is_raced() -> None:
    rivals = started()
    rivals.learn([evaluation(2, 0.9, 0.6), evaluation(3, 0.9, 0.5)])
    assert numbers(rivals, None) == [2]
    rivals.learn([evaluation(4, 0.9, 0.9, violation=0.2)])
    assert numbers(rivals, None) == [2]


def test_a_search_of_the_front_races_its_ends_and_what_is_far_from_others() -> None:
    rivals = started(None)
    n = 2 * MOST_RIVALS
    rivals.learn([evaluation(2 + i, 0.91 + 0.001 * i, 0.9 - 0.001 * i) for i in range(n)])
    chosen = numbers(rivals, 8)
    assert len(chosen) == MOST_RIVALS
    assert set(chosen) >= {2, 1 + n}
    assert not {0, 1} & set(chosen)  # dominated


def test_the_order_in_which_they_are_told_does_not_matter() -> None:
    told = [evaluation(2 + i, 0.91 + 0.001 * i, 0.9 - 0.001 * i) for i in range(12)]
    forward, backward = started(None), started(None)
    forward.learn(told)
    for one in reversed(told):
        backward.learn([one])
    assert numbers(forward, 8) == numbers(backward, 8)


def test_crowding_distance_of_a_line_of_points() -> None:
    assert spread([[0.0, 1.0], [0.1, 0.9], [0.2, 0.8], [0.6, 0.4], [1.0, 0.0]]) == [0, 4, 3, 2, 1]


def test_renewed_rivals_are_those_that_were_measured_anew() -> None:
    rivals = started()
    rivals.now(8)
    rivals.learn([evaluation(2 + i, 0.5, 0.1 * i) for i in range(8)])
    assert [rival.candidate.number for rival in rivals.next()] == [6]
    anew = evaluation(6, 0.3, 0.3)
    rivals.renew([anew])
    assert rivals.now(16) == (anew,)
    rivals.learn([evaluation(10 + i, 0.5, 0.1 * i) for i in range(8)])
    assert numbers(rivals, 24) == [14]
