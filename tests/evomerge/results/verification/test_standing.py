"""Claims are false no more often than they say, in worlds where the truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from evomerge.archive import Archive, ArchiveError
from evomerge.results.verification.looks import ERROR, Looks
from evomerge.results.verification.result import interval
from evomerge.results.verification.standing import Rivals, standing
from fitness.estimation import Objective
from fitness.scores import ItemScores
from fitness.statistics import Difference, PairedComparison

RUNS = 150
MOST = 0.05 + 2 * (0.05 * 0.95 / RUNS) ** 0.5


def drawn(rng: np.random.Generator, rates: dict[str, float], n_items: int) -> dict[str, ItemScores]:
    """Right answers to items of two tasks, as models with these rates in both give that share what is hard."""
    items = tuple(f"{task}/{i}" for task in "xy" for i in range(n_items))
    hard = rng.normal(size=2 * n_items)
    found = {}
    for name, rate in rates.items():
        own = 0.6**0.5 * hard + 0.4**0.5 * rng.normal(size=2 * n_items)
        found[name] = ItemScores(items, own < stats.norm.ppf(rate))
    return found


def two_tasks(scores: ItemScores, weights: tuple[float, float] = (1.0, 1.0)) -> PairedComparison:
    objectives = tuple(Objective(task, (task,), weight) for task, weight in zip("xy", weights, strict=True))
    return PairedComparison(objectives, {item: item[0] for item in scores.item_ids})


@pytest.mark.parametrize("validation", [20, 60])
@pytest.mark.parametrize("rates", [{"A": 0.60, "B": 0.68, "W": 0.67}, {"A": 0.60, "B": 0.65, "W": 0.64}])
def test_a_merge_that_a_parent_beats_on_every_objective_is_seldom_called_a_trade_off(
    rates: dict[str, float], validation: int
) -> None:
    rng, false = np.random.default_rng(validation), 0
    for _ in range(RUNS):
        on_validation, on_test = drawn(rng, rates, validation), drawn(rng, rates, 1000)
        best = max("AB", key=lambda name: on_validation[name].values.mean())
        rivals = Rivals({name: on_test[name] for name in "AB"}, {}, best)
        claim = standing(on_test["W"], rivals, comparison=two_tasks(on_test["W"]), error=ERROR, margin=0.01)
        false += claim.standing != "not_shown"
    assert false / RUNS <= MOST


def test_twenty_verifications_of_merges_that_are_no_better_seldom_find_one() -> None:
    rng, false, looks = np.random.default_rng(0), 0, Looks(tuple((k,) for k in range(20)))
    for _ in range(RUNS):
        scores = drawn(rng, {"parent": 0.6, **{str(k): 0.6 for k in range(20)}}, 50)
        rivals, compared = Rivals({"parent": scores["parent"]}, {}, "parent"), two_tasks(scores["parent"])
        false += any(
            standing(scores[str(k)], rivals, comparison=compared, error=looks.error_of(k), margin=0.01).standing
            == "better"
            for k in range(20)
        )
    assert false / RUNS <= MOST


def test_the_error_of_all_verifications_together_is_five_percent_and_a_winner_keeps_its_own() -> None:
    looks = Looks()
    for k in range(30):
        looks = looks.after([3 * k, 3 * k + 1, 0])  # 0 comes back every time
    assert looks.tested[0] == (0, 1)
    assert looks.tested[1] == (3, 4)
    errors = [looks.error_of(winner) for tested in looks.tested for winner in tested]
    assert 0.9 * ERROR < sum(errors) < ERROR
    assert looks.after([0, 4]) == looks
    assert (looks.number_of(0), looks.number_of(4)) == (1, 2)


def test_an_objective_of_weight_0_makes_no_trade_off() -> None:
    rng = np.random.default_rng(1)
    items = tuple(f"{task}/{i}" for task in "xy" for i in range(300))
    same, better = (rng.random(300) < 0.5).astype(float), np.ones(300)
    winner = ItemScores(items, np.concatenate([same, better]))
    rivals = Rivals({"A": ItemScores(items, np.concatenate([same, same]))}, {}, "A")
    claims = [
        standing(winner, rivals, comparison=two_tasks(winner, weights), error=ERROR, margin=0.05).standing
        for weights in ((1.0, 1.0), (1.0, 0.0))
    ]
    assert claims == ["better", "not_shown"]


def test_a_verdict_counts_the_items_and_groups_that_its_mean_is_made_of() -> None:
    rng = np.random.default_rng(0)
    scores = drawn(rng, {"A": 0.3, "W": 0.9}, 100)
    items = scores["W"].item_ids
    weighed = two_tasks(scores["W"], (1.0, 0.0))
    grouped = {item: f"passage {int(item[2:]) // 4}" for item in items if item[0] == "x"}
    comparison = PairedComparison(weighed.objectives, weighed.task_of, grouped)
    claim = standing(scores["W"], Rivals({"A": scores["A"]}, {}, "A"), comparison=comparison, error=ERROR, margin=0.01)
    assert "on 100 test items (25 groups)" in claim.words


@pytest.mark.parametrize("text", ["{", "7", '["x"]', "[[null]]"])
def test_a_damaged_record_of_looks_is_named_and_not_taken_for_none(tmp_path: Path, text: str) -> None:
    archive = Archive.create(tmp_path / "archive.sqlite", "")
    archive.note("looks", text)
    with pytest.raises(ArchiveError, match="table campaign, row looks: it cannot be read"):
        Looks.of(archive)


@pytest.mark.parametrize("number", [1, 2, 5, 9, 10, 40, 1000])
def test_no_verdict_says_that_its_interval_is_certain(number: int) -> None:
    looks = Looks(tuple((k,) for k in range(number)))
    error = looks.error_of(number - 1)
    said = interval(Difference(0.1, 0.05, 0.15, 0.02), 1 - error)
    level = float(said.split("(")[1].split(" %")[0])
    assert level < 100
    assert 1 - level / 100 == pytest.approx(error, rel=0.5)
