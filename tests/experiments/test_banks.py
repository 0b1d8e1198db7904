"""The experiment on banks: every form of file says the same, and its table's numbers are what they are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from evomerge.api.banks import UsedBanks
from evomerge.responses.bank import CampaignItems, match, read_bank
from experiments.reduction.bank_files import write_parameters, write_results, write_samples
from experiments.reduction.banks import _quality
from experiments.reduction.draws import Benchmark
from fitness.estimation.response_model import fit
from tests.fitness.reduction.worlds import world

WORLD = world("linear", 1, n_models=30, n_items=40, dims=1)
BENCHMARK = Benchmark(WORLD.matrix(), WORLD.tasks, np.arange(3, 30), np.arange(3))
CAMPAIGN = CampaignItems(BENCHMARK.matrix.items, {}, {"task0": "acc", "task1": "acc"})


@pytest.mark.parametrize("write", [write_samples, write_results])
def test_answers_come_back_from_files_as_they_were(write, tmp_path: Path) -> None:
    (said,) = write(tmp_path / "bank", BENCHMARK.matrix, BENCHMARK.tasks)
    found = UsedBanks((match(read_bank(said), CAMPAIGN),), CAMPAIGN, BENCHMARK.tasks).answers
    assert found is not None
    order = [found.models.index(model) for model in BENCHMARK.matrix.models]
    np.testing.assert_array_equal(found.scores[order], BENCHMARK.matrix.scores)


def test_parameters_come_back_with_a_scale_for_each_task(tmp_path: Path) -> None:
    said = write_parameters(tmp_path / "bank", BENCHMARK.matrix, BENCHMARK.tasks)
    using = UsedBanks(tuple(match(read_bank(s), CAMPAIGN) for s in said), CAMPAIGN, BENCHMARK.tasks)
    known = using.known(lambda _: None)
    assert known.parameters.dims == 2
    for dimension, items in enumerate(BENCHMARK.tasks.items):
        expected = fit(BENCHMARK.matrix.scores[:, items]).items
        rows = [known.places.tolist().index(item) for item in items]
        np.testing.assert_allclose(known.parameters.discriminations[rows, dimension], expected.discriminations[:, 0])
        assert not known.parameters.discriminations[rows, 1 - dimension].any()


def test_error_rank_correlation_and_regret_are_of_the_candidates() -> None:
    full = BENCHMARK.tasks.full_scores(BENCHMARK.matrix.scores).mean(axis=1)
    candidates = np.arange(10, 20)
    estimates = full[candidates] + np.linspace(-0.1, 0.1, 10)
    found = _quality(BENCHMARK, candidates, estimates, better=True)
    assert found.error == pytest.approx(np.abs(np.linspace(-0.1, 0.1, 10)).mean())
    assert found.tau == pytest.approx(kendalltau(estimates, full[candidates]).statistic)
    assert found.regret == pytest.approx(full[candidates].max() - full[candidates[int(np.argmax(estimates))]])
