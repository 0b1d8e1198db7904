"""What MAP's surrogates predict from an archive: refitted to its evaluations, nothing is stored for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from numpy.typing import NDArray

from evomerge.archive import Archive
from evomerge.campaign.constraints import Constraints
from evomerge.candidate import Evaluation
from fitness.scores import ItemScores

if TYPE_CHECKING:
    from evomerge.optimisers.map.surrogates.predicted_front import PredictedFront

NO_SCORES = ItemScores((), np.empty(0))


@dataclass(frozen=True, eq=False)
class Prediction:
    """A predicted front and the quality of the surrogates behind it.

    Attributes:
        objectives: (m,) names.
        front: of the surrogates.
        n_evaluations: how many evaluations they were fitted to.
    """

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
        return {
            "evaluations": self.n_evaluations,
            "surrogates": {name: {"form": form, "left_out_r2": r2} for name, form, r2 in self.quality},
            "front": [
                {
                    "genome": genome.tolist(),
                    "objectives": {
                        name: {"value": value, "low": low, "high": high}
                        for name, value, low, high in zip(self.objectives, *ends, strict=True)
                    },
                }
                for genome, *ends in zip(
                    found.genomes, found.values.tolist(), found.low.tolist(), found.high.tolist(), strict=True
                )
            ],
        }


def read_prediction(archive: Archive) -> Prediction | None:
    """Return the prediction of a campaign with the optimiser map; None for other campaigns, or too few evaluations."""
    settings = _settings(archive.campaign)
    optimiser = settings.get("optimiser")
    if not isinstance(optimiser, dict) or optimiser.get("kind") != "map":
        return None
    from evomerge.optimisers.map.surrogates.predicted_front import predict_front

    evaluations = _evaluations(archive)
    seed = settings.get("seed", 0)
    front = predict_front(evaluations, seed=seed if isinstance(seed, int) else 0)
    if front is None:
        return None
    names = tuple(objective.name for objective in evaluations[0].estimate.objectives)
    return Prediction(names, front, len(evaluations))


def _evaluations(archive: Archive) -> list[Evaluation]:
    constraints = Constraints.of(archive)
    found, rescored = [], archive.rescored()
    for record in archive.records("search"):
        candidate = archive.candidate(record.number)
        if record.estimate is not None and candidate.genome is not None:
            genome: NDArray[np.float64] = np.asarray(candidate.genome, dtype=np.float64)
            violation = constraints.violation(record.estimate)
            assert genome.ndim == 1, "map searches cubes"
            estimate = rescored.get(record.number, record.estimate)
            found.append(Evaluation(candidate, estimate, NO_SCORES, violation))
    return found


def _settings(text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}
