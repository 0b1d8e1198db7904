"""From item scores to objectives with standard errors: the mean, and estimates from a part of the items."""

from fitness.estimators.mean import MeanEstimator
from fitness.estimators.objectives import Objective, TaskLayout, check_objectives

__all__ = ["MeanEstimator", "Objective", "TaskLayout", "check_objectives"]
