"""What is around a search fails: the disk, limits, a home, the clock, the place of the run directory."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from evomerge.archive.digests import Seal
from evomerge.archive.soundness import EVENT_COLUMNS
from tests.evomerge.killing import contents
from tests.soak import toys
from tests.soak.campaigns import CAMPAIGNS, command, program
from tests.soak.commands import check_end, check_equal, run_line, whole_run
from tests.soak.place import Place
from tests.soak.tally import SkippedError

A_DAY_S = 86_400.0


def small_disk(place: Place, kibibytes: int) -> Path:
    """Mount a small file system in memory, or skip."""
    disk = place.directory / "disk"
    disk.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(line, capture_output=True, check=False).returncode:
        raise SkippedError("a small disk cannot be mounted here")
    place.undo.callback(subprocess.run, ["umount", "-l", str(disk)], check=True)
    return disk


def fill(disk: Path, leave: int) -> Path:
    """Fill a disk but for so many bytes; return the file that does it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        while (free := shutil.disk_usage(disk).free) > leave:
            file.write(b"0" * min(4096, free - leave))
    return filler


def toy_on_a_full_disk(place: Place, chance: random.Random) -> None:
    """The disk is full at a random moment of a toy campaign; once there is room it goes on."""
    name = place.subject = chance.choice(toys.TOYS)
    disk = small_disk(place, 4096)
    path = disk / "archive.sqlite"
    child = place.child(toys.run, path, name, 0.004)
    time.sleep(chance.uniform(0.02, 0.5))
    filler = fill(disk, chance.choice((0, 4096, 20_000)))
    code = child.wait()
    assert code in (0, 1), f"exit code {code}: {place.said}"
    assert code == 0 or "ArchiveError" in child.said, place.said
    filler.unlink()
    assert place.child(toys.run, path, name, 0.0).wait() == 0, place.said
    assert contents(path) == toys.whole(place.undisturbed, name), "another archive"


def full_disk(place: Place, chance: random.Random) -> None:
    """The disk is full at a random moment of `run` and of `verify`; with room they end as if nothing had been."""
    name = place.subject = chance.choice([*CAMPAIGNS])
    _, seconds = whole_run(place, name)
    run_dir = small_disk(place, 40_000) / "run"
    for line in (run_line(place, name, run_dir), ("verify", str(run_dir), "--top", "2")):
        child = place.child(command, *line)
        time.sleep(chance.uniform(0.1, 1.0) * seconds)
        filler = fill(run_dir.parent, chance.choice((0, 4096, 20_000)))
        if check_end(child, (0, 1)):
            told = any(word in child.said for word in ("full", "space", "room"))
            assert told, f"not a word of the disk: {place.said}"
        filler.unlink()
        check_end(place.child(command, *line))
        if line[0] == "run":
            check_equal(place, name, run_dir)


def _limits(kind: int, value: int) -> None:
    resource.setrlimit(kind, (value, value))


def few_open_files(place: Place, chance: random.Random) -> None:
    """`ulimit -n 64`."""
    _commands_within(place, chance, before=functools.partial(_limits, resource.RLIMIT_NOFILE, 64))


def little_memory(place: Place, chance: random.Random) -> None:
    """`ulimit -v`: whatever cannot be had is one message, and without the limit all goes on."""
    mebibytes = round(100 * 100 ** chance.random())
    place.subject = f"{mebibytes} MiB"
    _commands_within(place, chance, before=functools.partial(_limits, resource.RLIMIT_AS, mebibytes * 2**20))


def no_home(place: Place, chance: random.Random) -> None:
    """HOME is not said, or is nowhere, or cannot be written."""
    home = chance.choice((None, "/nowhere/at/all", "/proc/self", "/dev/null"))
    place.subject = f"HOME={home}"
    told = ("EVOMERGE_CACHE", "EVOMERGE_STATE", "XDG_CACHE_HOME", "XDG_STATE_HOME", "HF_HOME", "MPLCONFIGDIR")
    _commands_within(place, chance, environment={"HOME": home, **dict.fromkeys(told)}, may=(0,))


def _commands_within(
    place: Place,
    chance: random.Random,
    *,
    environment: Mapping[str, str | None] | None = None,
    before: Callable[[], object] | None = None,
    may: tuple[int, ...] = (0, 1),
) -> None:
    """Do everything within limits, and then what failed without them."""
    name = chance.choice([*CAMPAIGNS])
    place.subject = f"{name} {place.subject}"
    run_dir = place.directory / "run"
    lines = [
        run_line(place, name, run_dir),
        ("pareto", str(run_dir)),
        ("verify", str(run_dir), "--top", "2"),
        ("export", str(run_dir), "--out", str(place.directory / "exported")),
    ]
    for line in lines:
        if check_end(place.child(program, *line, environment=environment, before=before), may):
            check_end(place.child(command, *line))
        if line[0] == "run":
            check_equal(place, name, run_dir)


def moved(place: Place, chance: random.Random) -> None:
    """The run directory is moved between a kill and the resume, and goes on under its new name."""
    name = place.subject = chance.choice([*CAMPAIGNS])
    _, seconds = whole_run(place, name)
    run_dir = place.directory / "run"
    for turn in range(2):
        child = place.child(command, *run_line(place, name, run_dir))
        time.sleep(chance.uniform(0.1, 1.0) * seconds)
        place.kill(child)
        child.wait()
        if run_dir.exists():
            run_dir = Path(shutil.move(run_dir, place.directory / f"moved {turn}"))
    check_end(place.child(command, *run_line(place, name, run_dir)))
    check_equal(place, name, run_dir)


def _write_later(archive: Path, seconds: float) -> None:
    """Make events such as they were written so much later."""
    with contextlib.closing(sqlite3.connect(archive)) as connection:
        connection.execute("UPDATE events SET at = at + ?", (seconds,))
        (run_id,) = connection.execute("SELECT value FROM campaign WHERE key = 'run_id'").fetchone()
        rows = "(SELECT count(*) FROM candidates WHERE event = seq) + (SELECT count(*) FROM outcomes WHERE event = seq)"
        for event in connection.execute(f"SELECT {EVENT_COLUMNS}, {rows} FROM events").fetchall():
            connection.execute("UPDATE events SET digest = ? WHERE seq = ?", (Seal(run_id).of(event), event[0]))
        connection.commit()


def clock_goes_back(place: Place, chance: random.Random) -> None:
    """A session of tomorrow was killed, files and events say so; it is resumed today."""
    name = place.subject = chance.choice([*CAMPAIGNS])
    _, seconds = whole_run(place, name)
    run_dir = place.directory / "run"
    child = place.child(command, *run_line(place, name, run_dir))
    time.sleep(chance.uniform(0.3, 1.0) * seconds)
    place.kill(child)
    child.wait()
    for archive in run_dir.rglob("archive.sqlite"):
        _write_later(archive, A_DAY_S)
    for path in run_dir.rglob("*"):
        os.utime(path, (time.time() + A_DAY_S,) * 2)
    check_end(place.child(command, *run_line(place, name, run_dir)))
    check_equal(place, name, run_dir)
    for line in (("verify", str(run_dir), "--top", "2"), ("report", str(run_dir))):
        check_end(place.child(command, *line))
