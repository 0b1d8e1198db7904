"""The errors of this room."""


class WorkerSetupError(RuntimeError):
    """The workers cannot be started; the message says what was asked for, what was found, and what to do."""
