"""Archives with rows that nobody wrote and bytes that flipped, read as `pareto`, `report` and a resume read them."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from hypothesis import strategies as st

from tests.fuzz.mutations import HOSTILE_VALUES, as_json, mutated, mutated_bytes

Change: TypeAlias = tuple[str, int, str, object]  # table, rowid of the row, column, value


def _whole(directory: Path) -> Path:
    """Make an archive of every kind of row: landmarks, failures, held scores, a verification."""
    from tests.evomerge.archives import make_archive, verification

    file = directory / "whole.sqlite"
    if not file.exists():
        archive = make_archive(file, proposals=12, failures=(3,))
        archive.note("verification", verification(winner=8, contender=9).to_json())
        archive.close()
    return file


def _rows(file: Path) -> dict[tuple[str, str], list[tuple[int, object]]]:
    """Return (table, column) -> (which row, value)."""
    connection = sqlite3.connect(file)
    found = {}
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        cursor = connection.execute(f"SELECT * FROM {table}")
        columns = [column[0] for column in cursor.description]
        for row, values in enumerate(cursor.fetchall()):
            for column, value in zip(columns, values, strict=True):
                found.setdefault((table, column), []).append((row, value))
    connection.close()
    return found


def _spoilt(value: object) -> st.SearchStrategy[object]:
    """Return other values for a field: of another kind, or its own content with something wrong in it."""
    plain = HOSTILE_VALUES.map(_storable)
    if isinstance(value, bytes):
        return plain | mutated_bytes(value) | _in_json(value, zlib.decompress, zlib.compress)
    if isinstance(value, str):
        return plain | _in_json(value, str.encode, bytes.decode) | mutated_bytes(value.encode()).map(_as_text)
    return plain


def _in_json(value: Any, unpack: Callable[[Any], bytes], pack: Callable[[bytes], object]) -> st.SearchStrategy[object]:
    try:
        document = json.loads(unpack(value))
    except (ValueError, zlib.error):
        return st.nothing()
    return mutated(document).map(lambda spoilt: pack(as_json(spoilt).encode("utf-8", "replace")))


def _as_text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _storable(value: object) -> object:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)[:100] if abs(value) < 10**4000 else "9" * 100
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int | float | bytes | None):
        return value
    return as_json(value).encode("utf-8", "replace").decode()


def spoilt_rows(directory: Path) -> st.SearchStrategy[list[Change]]:
    """Return one to three fields with values that nobody wrote."""
    found = _rows(_whole(directory))

    @st.composite
    def change(draw: st.DrawFn) -> Change:
        table, column = draw(st.sampled_from(sorted(found)))
        row, value = draw(st.sampled_from(found[table, column]))
        return table, row, column, draw(_spoilt(value))

    return st.lists(change(), min_size=1, max_size=3)


def spoilt_bytes(directory: Path) -> st.SearchStrategy[bytes]:
    """Return the file with some bytes flipped, cut or put in."""
    content = _whole(directory).read_bytes()
    flips = st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 7)), min_size=1, max_size=20)

    def flipped(places: list[tuple[int, int]]) -> bytes:
        changed = bytearray(content)
        for at, bit in places:
            changed[at] ^= 1 << bit
        return bytes(changed)

    return flips.map(flipped) | st.integers(0, len(content)).map(lambda n: content[:n])


def read(spoilt: list[Change] | bytes, directory: Path) -> None:
    """Read a spoilt archive in every way; a change that the tables do not allow is none."""
    run_dir = directory / "run"
    shutil.rmtree(run_dir, ignore_errors=True)
    run_dir.mkdir()
    file = run_dir / "archive.sqlite"
    if isinstance(spoilt, bytes):
        file.write_bytes(spoilt)
    else:
        shutil.copyfile(_whole(directory), file)
        _write(file, spoilt)
    errors = []
    drawn = zlib.crc32(repr(spoilt).encode("utf-8", "replace")) % 8 == 0  # pages take their time
    for look in (_front, _candidates, _verification, _resume, *([_report] if drawn else [])):
        try:
            look(run_dir)
        except Exception as error:  # the other ways are tried all the same
            errors.append(error)
    if errors:
        from evomerge.errors import exit_code

        raise next((error for error in errors if exit_code(error) is None), errors[0])


def _write(file: Path, changes: list[Change]) -> None:
    connection = sqlite3.connect(file)
    for table, row, column, value in changes:
        keys = [c[1] for c in connection.execute(f"PRAGMA table_info({table})") if c[5]]
        found = connection.execute(f"SELECT {', '.join(keys)} FROM {table}").fetchall()
        if row >= len(found):
            continue
        where = " AND ".join(f"{key} IS ?" for key in keys)
        try:
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (value, *found[row]))
        except (sqlite3.Error, OverflowError):
            continue
    connection.commit()
    connection.close()


def _front(run_dir: Path) -> None:
    from evomerge.api.run import load

    run = load(run_dir)
    json.dumps(run.front.to_dict())
    _ = (run.config.name, run.n_candidates, run.ending)


def _candidates(run_dir: Path) -> None:
    from evomerge.api.run import load

    for candidate in load(run_dir).candidates:
        _ = candidate.recipe.digest


def _verification(run_dir: Path) -> None:
    from evomerge.api.run import load

    found = load(run_dir).verification
    if found is not None:
        json.dumps(found.to_dict())


def _report(run_dir: Path) -> None:
    from evomerge.api.run import load

    load(run_dir).report(figures=False)


def _resume(run_dir: Path) -> None:
    from evomerge.archive import Archive

    archive = Archive.open(run_dir / "archive.sqlite")
    try:
        for _ in archive.history():
            pass
        _ = (archive.held(), archive.screened(), archive.rescored(), list(archive.answered("search")), archive.worked())
    finally:
        archive.close()
