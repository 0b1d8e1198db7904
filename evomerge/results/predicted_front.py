"""What MAP's surrogates predict from an archive: refitted to its evaluations, nothing is stored for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from evomerge.archive import Archive
from evomerge.archive.campaign_text import campaign_settings
from evomerge.campaign.constraints import Constraints
from evomerge.candidate import Evaluation
from fitness.scores import ItemScores

if TYPE_CHECKING:
    from evomerge.optimisers.map.surrogates.predicted_front import PredictedFront

NO_SCORES = ItemScores((), np.empty(0))


@dataclass(frozen=True, eq=False)
class Prediction:
    """A predicted front of the objectives, and the quality of the surrogates that were fitted to n_evaluations."""

    objectives: tuple[str, ...]
    front: PredictedFront
    n_evaluations: int

    @property
    def quality(self) -> list[tuple[str, str, float]]:
        """Objective, form of its surrogate, share of variance that leave-one-out predictions explain."""
        return list(zip(self.objectives, self.front.forms, self.front.r2, strict=True))

    def as_json(self) -> dict[str, Any]:
        """Return what `evomerge pareto --json` prints under `predicted`."""
        found = self.front
        told = np.stack([found.values, found.low, found.high], axis=2).tolist()  # (k, m, 3)
        return {
            "evaluations": self.n_evaluations,
            "surrogates": {name: {"form": form, "left_out_r2": r2} for name, form, r2 in self.quality},
            "front": [
                {
                    "genome": genome,
                    "objectives": {
                        name: dict(zip(("value", "low", "high"), ends, strict=True))
                        for name, ends in zip(self.objectives, each, strict=True)
                    },
                }
                for genome, each in zip(found.genomes.tolist(), told, strict=True)
            ],
        }


def read_prediction(archive: Archive) -> Prediction | None:
    """Return the prediction of a campaign with the optimiser map; None for other campaigns, or too few evaluations."""
    settings = campaign_settings(archive.campaign)
    optimiser = settings.get("optimiser")
    if not isinstance(optimiser, dict) or optimiser.get("kind") != "map":
        return None
    from evomerge.optimisers.map.surrogates.predicted_front import predict_front

    evaluations = _evaluations(archive)
    seed = settings.get("seed", 0)
    front = predict_front(evaluations, seed=seed if isinstance(seed, int) else 0)
    if front is None:
        return None
    names = tuple(objective.name for objective in evaluations[0].estimate.counting)
    return Prediction(names, front, len(evaluations))


def _evaluations(archive: Archive) -> list[Evaluation]:
    from evomerge.optimisers.map.surrogates.objectives import answered

    constraints = Constraints.of(archive)
    found, rescored = [], archive.rescored()
    candidates = {candidate.number: candidate for candidate in archive.candidates()}
    for record in archive.records("search"):
        candidate = candidates[record.number]
        if record.estimate is not None and candidate.genome is not None:
            violation = constraints.violation(record.estimate)
            assert np.ndim(candidate.genome) == 1, "map searches cubes"
            estimate = rescored.get(record.number, record.estimate)
            estimate = replace(estimate, objectives=estimate.counting)
            found.append(Evaluation(candidate, estimate, NO_SCORES, violation))
    return [evaluation for evaluation in found if answered(evaluation)]
