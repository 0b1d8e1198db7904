"""Notes and stars that people give candidates: `notes.json` in the run directory, written whole or not at all."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evomerge.campaign import RunDirectory
from evomerge.studio.errors import RequestError
from evomerge.whole_file import prepared_file

FILE = "notes.json"
LONGEST = 4000  # characters of one note
_MOST = 10_000  # notes
_LARGEST = 48 * 2**20  # bytes of the file
_WRITING = threading.Lock()


class Note(BaseModel):
    """What somebody thinks of a candidate."""

    model_config = ConfigDict(extra="forbid", strict=True)

    star: bool = False
    text: str = Field(default="", max_length=LONGEST)
    at: float | None = None  # seconds since the epoch


class Notes(BaseModel):
    """The whole file."""

    version: int = 1
    notes: dict[int, Note] = Field(default_factory=dict)


def read_notes(directory: Path) -> Notes:
    """Return the notes of a run; none where there is no file."""
    file = directory / FILE
    if not file.is_file():
        return Notes()
    try:
        if file.stat().st_size > _LARGEST:
            raise RequestError(409, f"{FILE}: expected at most {_LARGEST} bytes, found more; move it away")
        return Notes.model_validate_json(file.read_bytes())
    except (ValidationError, OSError) as error:
        raise RequestError(409, f"{FILE}: expected notes that the studio wrote, found others; move it away") from error


def write_note(directory: Path, number: int, body: bytes) -> dict[str, Any]:
    """Put one note in the place of an earlier one; an empty one is taken out."""
    try:
        note = Note.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "note"
        raise RequestError(422, f"{where}: {first['msg']}") from error
    with _WRITING:
        RunDirectory(directory).refuse_links()
        known = read_notes(directory)
        known.notes.pop(number, None)
        if note.star or note.text.strip():
            if len(known.notes) >= _MOST:
                raise RequestError(409, f"notes: expected at most {_MOST}, found as many already; remove some")
            known.notes[number] = note.model_copy(update={"at": time.time()})
        text = json.dumps(known.model_dump(), ensure_ascii=False, indent=1)
        prepared_file(directory / FILE)(text + "\n")
    return known.model_dump()
