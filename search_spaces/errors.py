"""The errors of this room."""


class SpaceError(ValueError):
    """A parent, recipe or search space is not usable; the message says what was expected, found, and what to do."""
