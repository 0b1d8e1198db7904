"""The errors of this room."""

from evomerge.errors import EvomergeError, did_you_mean, in_brief, require, shortened

__all__ = ["FitnessError", "did_you_mean", "in_brief", "require", "shortened"]


class FitnessError(EvomergeError, ValueError):
    """A task, item or model cannot be scored; the message says what was expected, found, and what to do."""
