"""From item scores to objectives with standard errors: the mean, and estimates from a part of the items."""

from fitness.estimation.ability import Ability, Coordinates, fit_ability
from fitness.estimation.objectives import MeanEstimator, Objective, TaskLayout, check_objectives
from fitness.estimation.response_model import FittedModel, ItemParameters, fit

__all__ = [
    "Ability",
    "Coordinates",
    "FittedModel",
    "ItemParameters",
    "MeanEstimator",
    "Objective",
    "TaskLayout",
    "check_objectives",
    "fit",
    "fit_ability",
]
