"""The errors of this room."""

from evomerge.errors import EvomergeError


class WorkerSetupError(EvomergeError, RuntimeError):
    """The workers cannot be started; the message says what was asked for, what was found, and what to do."""
