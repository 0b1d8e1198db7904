"""`evomerge.template` and `evomerge.init`: the commented campaign file to begin with; `evomerge.doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evomerge.config.template import campaign_template
from evomerge.errors import EvomergeError

if TYPE_CHECKING:
    from evomerge.api.doctor import Finding


class FileExistsAlreadyError(EvomergeError, FileExistsError):
    """A file would be written over."""


def template(parents: Sequence[str | Path], base: str | Path | None = None, *, name: str = "my-merge") -> str:
    """Return a commented campaign file for these models; its tasks are placeholders to replace.

    >>> import evomerge as em
    >>> em.template(["./arithmetic", "./words"], "./base").startswith("# yaml-language-server")
    True

    Args:
        parents: two or more directories or hub ids.
        base: what they were fine-tuned from; None: a file that does without.
        name: the campaign's.
    """
    return campaign_template(list(map(str, parents)), None if base is None else str(base), name=name)


def init(parents: Sequence[str | Path], base: str | Path | None = None, *, out: str | Path = "campaign.yaml") -> Path:
    """Write the campaign file that `template` returns.

    Args:
        parents: two or more directories or hub ids.
        base: what they were fine-tuned from.
        out: the file; must not exist.

    Returns:
        `out`.

    Raises:
        FileExistsAlreadyError: there is a file.
    """
    file = Path(out)
    if file.exists():
        raise FileExistsAlreadyError(f"{file}: expected no file, found one; choose another with out (--out)")
    file.write_text(template(parents, base), encoding="utf-8")
    return file


def doctor() -> list[Finding]:
    """Return what this machine has, and what of it lies outside the range that evomerge was tested with.

    >>> import evomerge as em
    >>> [finding.found for finding in em.doctor() if finding.status == "missing"]
    []
    """
    from evomerge.api.doctor import examine

    return examine()
