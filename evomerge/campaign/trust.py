"""Code that a run brings is run only where the user began the run, or says that it is trusted.

A campaign file that a user wrote, and what a user's own program passes, need no permission. A run directory that
somebody else began does: `verify` and `plan` of it would run what its archive names.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from evomerge.archive import Archive, ArchiveError
from evomerge.campaign.origin import NOTE, is_ours, signed
from evomerge.config import CampaignConfig
from evomerge.config.code import NamedCode, named_code
from evomerge.config.yaml_document import parse_yaml, read_yaml
from evomerge.errors import EvomergeError, few_lines

_FILE = "archive.sqlite"


class UntrustedCodeError(EvomergeError, RuntimeError):
    """A run that the user did not begin names code, which would be run."""

    exit_code = 2


def recorded_code(archive: Archive) -> tuple[NamedCode, ...]:
    """Return the code that an archive's campaign names."""
    return archive.parsed("campaign", lambda text: named_code(parse_yaml(text).data)) or ()


def code_texts(config: CampaignConfig) -> list[str]:
    """Return the code that a campaign names, as it stands in its record."""
    return [one.text for one in named_code(config.model_dump())]


def check_code(code: Sequence[NamedCode], record: str | None, where: object, *, trust: bool = False) -> None:
    """Do nothing if a run's code may be run: the user named it there (`record`), or trusts it.

    Raises:
        UntrustedCodeError: somebody else may have named it, or it is another file in each directory.
    """
    if relative := [one for one in code if one.is_relative]:
        raise UntrustedCodeError(
            f"{where}: expected absolute paths in a run's record, as evomerge writes them, found\n  {relative[0]}\n"
            "somebody wrote it by hand; write a campaign file of your own to run that code"
        )
    if not trust and code and not is_ours(record, [one.text for one in code]):
        raise _refused(code, where)


def check_archive(archive: Archive, where: object, *, trust: bool = False) -> None:
    """Do nothing if the code of an archive's campaign may be run; what is trusted once is the user's from then on."""
    code, record = recorded_code(archive), archive.noted(NOTE)
    check_code(code, record, where, trust=trust)
    if trust and code and not is_ours(record, [one.text for one in code]):
        with contextlib.suppress(ArchiveError):  # nothing can be written: it is asked again
            note_origin(archive, [one.text for one in code])


def check_staged(campaign: Path, *, trust: bool = False) -> None:
    """Do nothing if the code of the campaign file that all stages of a run share may be run; see `sign_staged`."""
    try:
        record = _record_of(campaign).read_text(encoding="utf-8")
    except (OSError, ValueError):
        record = None
    check_code(named_code(read_yaml(campaign).data), record, campaign, trust=trust)


def sign_staged(campaign: Path) -> None:
    """Record beside the campaign file that all stages share that this user wrote it."""
    _record_of(campaign).write_text(signed([one.text for one in named_code(read_yaml(campaign).data)]))


def _record_of(campaign: Path) -> Path:
    return campaign.with_name("origin.json")


def note_origin(archive: Archive, code: Iterable[str]) -> None:
    """Record that this user began a campaign that names some code."""
    listed = list(code)
    if not is_ours(archive.noted(NOTE), listed) and (record := signed(listed)):
        archive.note(NOTE, record)


def check_campaign_file(path: Path, *, trust: bool = False) -> None:
    """Do nothing unless a campaign file, or code that it names by a path, lies in a run that somebody else began."""
    code = named_code(read_yaml(path).data)
    if (run := foreign_run(path)) is not None:
        check_code(code, None, run, trust=trust)
    placed = [one if one.file is None else replace(one, file=path.parent / one.file) for one in code]
    check_files(placed, trust=trust)


def check_files(files: Iterable[NamedCode], *, trust: bool = False) -> None:
    """Do nothing unless a file with code lies in a run directory that somebody else began."""
    if trust:
        return
    for one in files:
        run = None if one.file is None else foreign_run(one.file)
        if run is not None:
            raise _refused([one], run)


def foreign_run(file: Path) -> Path | None:
    """Return the run directory that a file lies in, or is, or is a link into, if the user did not begin it."""
    places = file.absolute(), file.resolve()
    for directory in dict.fromkeys(above for place in places for above in (place, *place.parents)):
        if (directory / _FILE).is_file():
            try:
                with contextlib.closing(Archive.read(directory / _FILE)) as archive:
                    return None if is_ours(archive.noted(NOTE)) else directory
            except (ArchiveError, sqlite3.Error):  # another program's file
                continue
    return None


def _refused(code: Sequence[NamedCode], where: object) -> UntrustedCodeError:
    listed = few_lines([f"  {one}" for one in code], most=2)
    return UntrustedCodeError(
        f"{where}: expected a run that you began, found one of somebody else's, or of an older evomerge, with code:\n"
        f"{listed}\nlook at the code; if you trust it, add --trust-tasks (trust_tasks=True in Python)"
    )
