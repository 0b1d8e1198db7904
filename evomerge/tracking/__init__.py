"""Experiment trackers: W&B, MLflow, TensorBoard and Trackio, while a search runs and afterwards."""

from evomerge.tracking.afterwards import track
from evomerge.tracking.live import tracking
from evomerge.tracking.protocol import Tracker, TrackingError
from evomerge.tracking.registry import opened_tracker

__all__ = ["Tracker", "TrackingError", "opened_tracker", "track", "tracking"]
