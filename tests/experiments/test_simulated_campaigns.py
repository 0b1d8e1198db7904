"""The fast version of the simulated campaigns: verdicts and intervals against a known truth."""

from __future__ import annotations

import pytest

from experiments.reduction.simulated_campaigns import WORLDS, simulate

N = 20


@pytest.mark.parametrize("name", ["all models equally able", "merges equal to the one good parent"])
def test_without_a_true_improvement_hardly_any_campaign_calls_a_winner_better(name: str) -> None:
    found = simulate(WORLDS[name], N)
    assert found.truly_better == 0.0
    assert found.false_claims <= 2 / N  # 5 % may; three of twenty have a chance below 8 % even then
    assert abs(found.curse) < 0.01
    # Some 340 intervals that depend on each other.
    assert 0.91 <= found.coverage["all"] <= 0.99


def test_a_true_improvement_is_found_and_its_size_covered() -> None:
    found = simulate(WORLDS["merges better"], N)
    assert found.truly_better == 1.0
    assert found.better >= 0.9
    assert found.false_claims == 0.0
    assert 0.91 <= found.coverage["all"] <= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_in_200_campaigns_intervals_cover_93_to_97_percent_and_at_most_5_percent_claim_too_much(name: str) -> None:
    found = simulate(WORLDS[name], 200)
    assert 0.93 <= found.coverage["all"] <= 0.97
    assert found.false_claims <= 0.05
