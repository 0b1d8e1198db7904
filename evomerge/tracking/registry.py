"""Trackers by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from evomerge.errors import require
from evomerge.tracking.mlflow_runs import MlflowRun
from evomerge.tracking.protocol import Subject, Tracker
from evomerge.tracking.tensorboard_files import TensorBoardFiles
from evomerge.tracking.trackio_runs import TrackioRun
from evomerge.tracking.wandb_runs import WandbRun

TRACKERS: Mapping[str, Callable[[Subject], Tracker]] = {
    "wandb": WandbRun,
    "mlflow": MlflowRun,
    "tensorboard": TensorBoardFiles,
    "trackio": TrackioRun,
}


def opened_tracker(name: str, subject: Subject) -> Tracker:
    """Open a tracker; its library is imported now.

    Raises:
        MissingExtraError: the library is not installed.
        TrackingError: it cannot be used as it is.
    """
    require(name, name)
    return TRACKERS[name](subject)
