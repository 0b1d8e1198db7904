"""Racing: who may stop, and how seldom the wrong one does."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fitness.errors import FitnessError
from fitness.estimators import Objective
from fitness.racing import BETS, Lost, Race, RaceRules
from fitness.scores import ItemScores

Floats = NDArray[np.float64]
ONE = (Objective("all", ("sums",)),)
TWO = (Objective("sums", ("sums",)), Objective("words", ("words",)))


def items_of(n: int, tasks: Sequence[str] = ("sums",)) -> tuple[str, ...]:
    """Return n item ids, the tasks taking turns."""
    return tuple(f"{tasks[i % len(tasks)]}/{i}" for i in range(n))


def race(rivals: Sequence[Floats], objectives: Sequence[Objective] = ONE, delta: float = 0.05) -> Race:
    items = items_of(len(rivals[0]), [o.name if o.name != "all" else "sums" for o in objectives])
    task_of = {item: item.split("/")[0] for item in items}
    return Race([ItemScores(items, r) for r in rivals], objectives, task_of=task_of, items=items, delta=delta)


def first_stop(race: Race, scores: Floats, tasks: Sequence[str] = ("sums",), block: int = 5) -> Lost | None:
    """Look after every block, as a worker does."""
    items = items_of(len(scores), tasks)
    looks = (race.judge(ItemScores(items[:n], scores[:n])) for n in range(block, len(scores) + 1, block))
    return next((stopped for stopped in looks if stopped is not None), None)


def test_seven_items_that_only_the_rival_has_right_suffice_and_six_do_not() -> None:
    def lost(n: int) -> Lost | None:
        # So many items follow that nothing is hopeless.
        theirs = np.concatenate([np.ones(n), np.zeros(200)])
        return race([theirs]).judge(ItemScores(items_of(n), np.zeros(n)))

    wealth = {n: np.mean([(1 + bet) ** n for bet in BETS]) for n in (6, 7)}
    assert wealth[6] < 20 < wealth[7]
    assert lost(6) is None
    assert lost(7) == Lost("worse", 0, 7)


def test_items_on_which_both_agree_change_nothing() -> None:
    lost, agreed = np.zeros(12), np.tile([0.0, 1.0], 50)
    mine, theirs = np.concatenate([agreed, lost]), np.concatenate([agreed, np.ones(12), np.zeros(300)])
    assert race([theirs]).judge(ItemScores(items_of(112), mine)) == Lost("worse", 0, 112)


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_a_candidate_as_good_as_its_rival_is_stopped_no_more_often_than_delta(graded: bool, correlation: float) -> None:
    rng = np.random.default_rng(3)
    stops = 0
    for _ in range(500):
        shared, a, b = rng.normal(size=(3, 150))
        pair = [correlation**0.5 * shared + (1 - correlation) ** 0.5 * own for own in (a, b)]
        mine, theirs = [np.clip(0.5 + 0.2 * z, 0, 1) if graded else (z > 0.3).astype(float) for z in pair]
        stopped = first_stop(race([theirs], delta=0.1), mine)
        stops += stopped is not None and stopped.reason == "worse"
    assert stops / 500 <= 0.1


def test_against_many_rivals_as_good_the_rate_is_still_at_most_delta() -> None:
    rng = np.random.default_rng(4)
    worlds = [(rng.random((9, 120)) < 0.5).astype(float) for _ in range(200)]
    stops = [first_stop(race(list(w[1:]), delta=0.1), w[0]) for w in worlds]
    assert sum(s is not None and s.reason == "worse" for s in stops) / 200 <= 0.1


def test_a_clearly_worse_candidate_stops_after_a_part_of_the_items() -> None:
    rng = np.random.default_rng(5)
    used = []
    for _ in range(50):
        mine, theirs = (rng.random(400) < 0.3).astype(float), (rng.random(400) < 0.6).astype(float)
        stopped = first_stop(race([theirs]), mine)
        assert stopped is not None
        used.append(stopped.n_items)
    assert np.mean(used) < 100


def test_a_candidate_that_is_better_in_one_objective_goes_on() -> None:
    tasks = ("sums", "words")
    is_sum = np.array([item.startswith("sums") for item in items_of(200, tasks)])
    theirs = np.where(is_sum, 1.0, 0.0)
    trade = race([theirs], TWO)
    assert first_stop(trade, 1.0 - theirs, tasks) is None
    assert first_stop(race([np.ones(200)], TWO), np.zeros(200), tasks) is not None


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40), st.integers(1, 40))
def test_hopeless_means_behind_even_with_everything_right_from_here_on(
    pairs: list[tuple[bool, bool]], cut: int
) -> None:
    mine, theirs = np.array(pairs, dtype=np.float64).T
    n = min(cut, len(mine))
    # A delta that no test reaches: only certainty stops.
    stopped = race([theirs], delta=1e-30).judge(ItemScores(items_of(n), mine[:n]))
    reachable = mine[:n].sum() + len(mine) - n
    assert (stopped is not None) == bool(reachable < theirs.sum())


def test_a_task_counts_by_its_weight_not_by_its_items() -> None:
    # 90 words and 10 sums in one objective: losing all sums and winning a few words is no tie.
    items = tuple(f"{'sums' if i % 10 == 0 else 'words'}/{i}" for i in range(100))
    task_of = {item: item.split("/")[0] for item in items}
    both = (Objective("both", ("sums", "words")),)
    theirs = np.array([1.0 if item.startswith("sums") else 0.0 for item in items])
    mine = np.array([1.0 if int(item.split("/")[1]) % 30 == 1 else 0.0 for item in items])
    judged = Race([ItemScores(items, theirs)], both, task_of=task_of, items=items).judge(ItemScores(items, mine))
    assert judged is not None
    assert mine.sum() < theirs.sum()
    behind = 0.5 * theirs[::10].mean() - 0.5 * mine.sum() / 90
    assert behind > 0.4


def test_scores_without_bounds_are_never_stopped() -> None:
    assert first_stop(race([np.full(100, 5.0)]), np.full(100, -5.0)) is None


def test_wrong_input_is_refused() -> None:
    with pytest.raises(FitnessError, match="delta: expected"):
        race([np.ones(3)], delta=0.0)
    with pytest.raises(FitnessError, match="first items"):
        race([np.ones(3)]).judge(ItemScores(("sums/1",), np.ones(1)))
    items = items_of(3)
    with pytest.raises(FitnessError, match=r"rivals\[0\]: expected a score of every item"):
        Race([ItemScores(items[:2], np.ones(2))], ONE, task_of=dict.fromkeys(items, "sums"), items=items)


def test_looks_come_whenever_the_items_have_doubled_and_at_the_end() -> None:
    rules = RaceRules((Objective("sums", ("sums",)),), {}, first_look=23)
    assert rules.looks(180) == [23, 46, 92, 180]
    assert rules.looks(92) == [23, 46, 92]
    assert rules.looks(20) == [20]
    assert rules.looks(180, known=46) == [92, 180]
    assert rules.looks(180, known=180) == []
