"""A benchmark becomes a small one that predicts it."""

from fitness.reduction.anchors import METHODS, Method, choose_anchors
from fitness.reduction.calibration import Calibration
from fitness.reduction.reduced_benchmark import ReducedBenchmark
from fitness.reduction.reduced_estimator import ReducedEstimator
from fitness.reduction.reduction import reduce_benchmark
from fitness.reduction.response_matrix import ResponseMatrix, TaskItems

__all__ = [
    "METHODS",
    "Calibration",
    "Method",
    "ReducedBenchmark",
    "ReducedEstimator",
    "ResponseMatrix",
    "TaskItems",
    "choose_anchors",
    "reduce_benchmark",
]
