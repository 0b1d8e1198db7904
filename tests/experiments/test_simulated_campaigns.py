"""The fast version of the simulated campaigns: verdicts and intervals against a known truth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import experiments.reduction
from experiments.reduction.simulated_answers import (
    RIGHT_OR_WRONG,
    Answers,
    graded,
    log_likelihoods,
    rarely_other,
    right_or_wrong,
)
from experiments.reduction.simulated_campaigns import Models, simulate
from experiments.reduction.simulated_worlds import GROUPS, World

N = 20
WORLDS = {name: world for worlds in GROUPS.values() for name, world in worlds.items()}
PROMISED = [group for group in GROUPS if group != "beyond what is promised"]


def at_most(share: float, n: int) -> float:
    """Return the share of n campaigns that is exceeded in one of a thousand cases where this share is true."""
    return float(stats.binom.ppf(0.999, n, share)) / n


@pytest.mark.parametrize(
    "answers",
    [
        RIGHT_OR_WRONG,
        right_or_wrong(alike=1.0),
        right_or_wrong(per_passage=5, of_passage=0.3),
        graded,
        rarely_other(-0.3, 0.03),
        log_likelihoods(long_tails=False),
        log_likelihoods(long_tails=True),
    ],
)
def test_scores_are_in_expectation_what_is_true(answers: Answers) -> None:
    truth = np.array([[0.5, 0.9], [0.6, 0.3], [0.98, 0.04]])
    scores = answers(np.random.default_rng(0), truth, 20_000, 1)
    # Of passages there are a fifth as many as of items.
    error = scores.std(axis=-1) / (20_000 / 5) ** 0.5
    assert (np.abs(scores.mean(axis=-1) - truth) <= 4 * error).all()


def test_a_claim_is_judged_by_every_parent_and_every_recipe() -> None:
    world = World(((0.6, 0.6), (0.7, 0.5)), (0.7, 0.6), margin=0.02)

    def standings(**others: object) -> set[str]:
        changed = replace(world, **others)
        models = Models(changed, np.random.default_rng(0))
        return set(models.standings(len(models.labels), "parent 0"))

    assert standings() == {"better", "better_than_parents", "trade_off", "not_shown"}
    assert standings(recipes=((0.66, 0.66),)) == {"better_than_parents", "trade_off", "not_shown"}
    assert standings(recipes=((0.7, 0.6),)) == {"better_than_parents", "not_shown"}
    assert standings(merges=(0.55, 0.61)) == {"not_shown"}  # worse than the named parent by more than the margin
    assert standings(merges=(0.69, 0.5)) == {"not_shown"}  # and the second parent is better all round
    assert standings(merges=(0.59, 0.61)) == {"trade_off", "not_shown"}


@pytest.mark.parametrize("name", ["all models equally able", "merges equal to the one good parent"])
def test_without_a_true_improvement_hardly_any_campaign_calls_a_winner_better(name: str) -> None:
    found = simulate(WORLDS[name], N)
    assert found.truly["better_than_parents"] == 0.0
    assert found.false_claims <= at_most(0.05, N)
    assert abs(found.curse) < 0.015
    # Some 300 intervals that depend on each other.
    assert found.coverage >= 0.91


def test_a_true_improvement_is_found_and_its_size_covered() -> None:
    found = simulate(WORLDS["merges better"], N)
    assert found.truly["better"] == 1.0
    assert found.called["better"] >= 0.8
    assert found.false_claims == 0.0
    assert found.coverage >= 0.91


@pytest.mark.parametrize(
    "name",
    [
        "merges better, a recipe better by 2 points",
        "2 parents, 0.60 and 0.68, merges 0.67; 20 and 1000 items",
        "5 parents, 0.60 and 0.65, merges 0.64; 20 and 1000 items",
    ],
)
def test_what_a_parent_a_recipe_or_chance_explains_is_seldom_claimed(name: str) -> None:
    found = simulate(WORLDS[name], N)
    assert found.truly["better"] == found.truly["trade_off"] == 0.0
    assert found.false_claims <= at_most(0.05, N)


def test_of_twenty_verifications_on_the_same_items_hardly_any_finds_a_winner_that_is_none() -> None:
    found = simulate(WORLDS["20 verifications on 100 items"], N // 4)
    assert list(found.false_by) == [1, 3, 10, 20]
    assert found.false_by[20] == found.false_claims <= at_most(0.05, N // 4)


@pytest.mark.parametrize("n_items", [20, 100])
@pytest.mark.parametrize("kind", ["a little better, much worse on 3 %", "only gains, on 2 %"])
def test_rare_items_deceive_no_verdict(kind: str, n_items: int) -> None:
    found = simulate(WORLDS[f"{kind} of {n_items} items"], 2 * N)
    assert found.false_claims <= at_most(0.05, 2 * N)
    assert 1 - found.coverage <= at_most(0.07, 2 * N)


def test_the_committed_table_has_every_world_and_keeps_what_is_promised() -> None:
    path = Path(experiments.reduction.__file__).parent / "simulated_campaigns.json"
    table = json.loads(path.read_text("utf-8"))
    assert {group: list(worlds) for group, worlds in table.items()} == {g: list(worlds) for g, worlds in GROUPS.items()}
    found = {name: found for group in PROMISED for name, found in table[group].items()}
    assert [name for name, world in found.items() if world["false_claims"] > 0.05] == []
    assert [name for name, world in found.items() if 1 - world["coverage"] > at_most(0.07, world["campaigns"])] == []


@pytest.mark.slow
@pytest.mark.parametrize("group", PROMISED)
def test_in_every_world_verdicts_and_intervals_are_as_true_as_they_say(group: str) -> None:
    found = {name: simulate(world, N, seed=1) for name, world in GROUPS[group].items()}
    assert [name for name, world in found.items() if world.false_claims > at_most(0.05, N)] == []
    assert [name for name, world in found.items() if 1 - world.coverage > at_most(0.07, N)] == []
