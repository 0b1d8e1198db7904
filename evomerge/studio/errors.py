"""What goes wrong in the studio."""

from __future__ import annotations

from evomerge.errors import EvomergeError


class StudioError(EvomergeError, RuntimeError):
    """The studio cannot be started."""

    exit_code = 2


class RequestError(EvomergeError, ValueError):
    """A request is not answered; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
