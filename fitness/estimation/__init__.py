"""From item scores to objectives with standard errors: the mean, and estimates from a part of the items."""

from fitness.estimation.mean import MeanEstimator
from fitness.estimation.objectives import Objective, TaskLayout, check_objectives

__all__ = ["MeanEstimator", "Objective", "TaskLayout", "check_objectives"]
