"""Campaigns with and without racing differ in nothing else, and their table is what their archives say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.config import CampaignConfig
from evomerge.verification.verifier import Verifier
from experiments.reduction.races import campaign, read_search
from experiments.reduction.simulated_campaigns import OBJECTIVES, WORLDS, Models, Pool
from fitness.estimators import MeanEstimator
from fitness.scores import Budget
from fitness.statistics import PairedComparison


@pytest.mark.parametrize("models", ["smollm", "quickstart"])
@pytest.mark.parametrize("kind", ["cma_es", "nsga2"])
def test_a_campaign_with_racing_differs_from_the_one_without_in_that_section_alone(models: str, kind: str) -> None:
    without, racing = (
        CampaignConfig.model_validate(campaign(models, kind, section, seed=3, minutes=6))
        for section in (None, {"delta": 0.1})
    )
    assert racing.racing is not None
    assert racing.racing.delta == 0.1
    assert racing.model_copy(update={"racing": None, "name": without.name}) == without
    assert without.optimiser.kind == kind
    assert without.budget.hours == 0.1
    assert without.seed == 3


def test_the_table_reads_a_verified_search(tmp_path: Path) -> None:
    models = Models(WORLDS["merges better"], np.random.default_rng(0))
    estimator = MeanEstimator(OBJECTIVES, task_of=models.task_of, splits=models.splits)
    candidates = [models.candidate(number) for number in range(len(models.abilities))]
    archive = Archive.create(tmp_path / "archive.sqlite", "")
    archive.asked(candidates[:5], None)
    archive.asked(candidates[5:], len(candidates) - 5)
    done = [models.evaluate(candidate, Budget("search")) for candidate in candidates]
    archive.told([(scored, estimator.estimate(scored.scores)) for scored in done])
    comparison = PairedComparison(OBJECTIVES, models.task_of)
    verified = Verifier(archive, Pool(models), estimator, comparison).verify(8, validation=True)

    found, scores = read_search(archive, "cma_es", seed=0, racing=False, whole=None)
    again, _ = read_search(archive, "cma_es", seed=0, racing=True, whole=scores)
    archive.close()
    assert (found.candidates, found.stopped, found.items, found.items_each) == (65, 0, 65 * 240, 240)
    assert found.winner == verified.winner
    assert found.test.value == pytest.approx(next(r.mean for r in verified.rows if r.candidate == verified.winner))
    assert found.test.low < found.test.value < found.test.high
    assert found.over_best_parent == verified.winners[0].comparisons[0].mean
    assert found.over_whole is None
    assert again.over_whole is not None
    assert again.over_whole.value == 0.0
