"""The errors of this room."""

from evomerge.errors import EvomergeError, did_you_mean, few_lines, few_of, in_brief, shortened

__all__ = ["SpaceError", "did_you_mean", "few_lines", "few_of", "in_brief", "shortened"]


class SpaceError(EvomergeError, ValueError):
    """A parent, recipe or search space is not usable; the message says what was expected, found, and what to do."""
