"""What whoever merges lets through on purpose."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Permissions:
    """What is done only because somebody asked for it.

    Attributes:
        differences: keys of config.json in which parents may differ, e.g. rope_theta or model_type.
        remote_code: whether code that lies beside the base is copied to the output; it is never run here.
    """

    differences: tuple[str, ...] = ()
    remote_code: bool = False

    def __or__(self, other: Permissions) -> Permissions:
        """Return what either lets through."""
        both = dict.fromkeys((*self.differences, *other.differences))
        return Permissions(tuple(both), self.remote_code or other.remote_code)


NOTHING_ALLOWED = Permissions()
