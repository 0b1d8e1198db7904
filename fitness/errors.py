"""The errors of this room."""


class FitnessError(ValueError):
    """A task, item or model cannot be scored; the message says what was expected, found, and what to do."""
