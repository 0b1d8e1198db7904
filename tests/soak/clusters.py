"""Kills under Ray: the driver, its raylet, an actor; the campaign resumes to the archive of an undisturbed one."""

from __future__ import annotations

import functools
import random
import sqlite3
import time
from pathlib import Path

from tests.evomerge.killing import EVALUATIONS, contents
from tests.evomerge.toy import ToyWorker
from tests.evomerge.toy_run import OPTIMISERS, run_toy
from tests.soak import toys
from tests.soak.children import Child
from tests.soak.place import Place

REPOSITORY = Path(__file__).parents[2]
# What a steady-state optimiser proposes depends on which worker is done first.
GENERATIONAL = [name for name in OPTIMISERS if name not in ("m2n2", "bayes")]
VICTIMS = ("driver", "raylet", "actor", "actor")
LEFT_AFTER_S = 60.0


def run_on_ray(path: Path, name: str, pause: float) -> None:
    """Start or resume a toy campaign with two workers in a Ray of its own."""
    from evomerge.workers.ray_pool import RayPool

    make_worker = functools.partial(ToyWorker, 0.05, pause)
    with RayPool(make_worker, count=2, run_dir=path.parent) as pool:
        assert run_toy(path, name, EVALUATIONS, pool=pool) == "evaluations"


def descendants(pid: int) -> dict[int, str]:
    """Return process -> command line of all that stem from a process."""
    parent_of = {}
    for entry in Path("/proc").iterdir():
        try:
            parent_of[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (ValueError, OSError):
            continue
    found: dict[int, str] = {}
    front = {pid}
    while front := {child for child, parent in parent_of.items() if parent in front}:
        found.update((child, _command_line(child)) for child in front)
    return found


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def n_told(path: Path) -> int:
    """Return how many outcomes an archive holds; 0 while there is none."""
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return int(connection.execute("SELECT count(*) FROM outcomes").fetchone()[0])
        finally:
            connection.close()
    except sqlite3.Error:
        return 0


def kills_under_ray(place: Place, chance: random.Random) -> None:
    """SIGKILL one process of a search on two workers, once or twice, and let it end."""
    name = chance.choice(GENERATIONAL)
    path = place.directory / "archive.sqlite"
    environment = {"PYTHONPATH": str(REPOSITORY), "RAY_USAGE_STATS_ENABLED": "0"}
    left: dict[int, str] = {}
    for _ in range(chance.randint(1, 2)):
        victim = chance.choice(VICTIMS)
        place.subject = f"{name}, {victim}"
        before = n_told(path)
        child = place.child(run_on_ray, path, name, 0.05, environment=environment)
        if not child.wait_until(lambda before=before: n_told(path) > before):
            break
        time.sleep(chance.uniform(0.0, 1.5))
        left |= descendants(child.pid)
        _kill(place, child, victim)
        code = child.wait()
        assert victim != "actor" or code == 0, f"exit code {code}: {place.said}"
    else:
        last = place.child(run_on_ray, path, name, 0.0, environment=environment)
        assert last.wait() == 0, place.said
    _check_gone(left)
    assert not (place.directory / ".ray").exists(), "leftovers of Ray"
    assert contents(path) == toys.whole(place.undisturbed, name), "another archive"


def _kill(place: Place, child: Child, victim: str) -> None:
    if victim == "driver":
        place.kill(child)
        return
    word = "/raylet" if victim == "raylet" else "ray::_Actor"
    found = [pid for pid, line in descendants(child.pid).items() if word in line]
    if found and place.kill_process(found[0]):
        return
    place.subject += " (none there)"


def _check_gone(processes: dict[int, str]) -> None:
    end = time.monotonic() + LEFT_AFTER_S
    while still := {pid: line for pid, line in processes.items() if line and _command_line(pid) == line}:
        if time.monotonic() > end:
            for pid in still:
                Place.end(pid)
            raise AssertionError(f"still running: {[line[:80] for line in still.values()]}")
        time.sleep(0.2)
