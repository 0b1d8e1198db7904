"""Signals to commands over real models: nothing lost, one message, the right exit code, nothing left behind."""

from __future__ import annotations

import functools
import random
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from evomerge.archive import Archive
from tests.evomerge.killing import contents
from tests.soak.campaigns import CAMPAIGNS, command, inputs
from tests.soak.children import Child
from tests.soak.place import Place

POLITE = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Done, failed with a message, Ctrl-C, and the signals themselves where no search was there yet to drain.
ENDS = (0, 1, 130, *(-number for number in POLITE))


def names(directory: Path) -> set[str]:
    """Return the files of a directory; SQLite's own two stay where somebody has only read."""
    found = {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}
    return {name for name in found if not name.endswith(("-wal", "-shm"))}


def noted(run_dir: Path) -> str | None:
    """Return what a run's archive says of its verification."""
    archive = Archive.read(run_dir / "archive.sqlite")
    try:
        return archive.noted("verification")
    finally:
        archive.close()


def check_end(child: Child, allowed: Sequence[int] = (0,)) -> int:
    """Return how a command ended: as it may, with a message where it failed, and never with a traceback."""
    code = child.wait()
    said = child.said
    assert "Traceback" not in said, said[-1500:]
    assert code in allowed, f"exit code {code}: {said[-1500:]}"
    assert code not in (1, 2) or said.strip(), f"exit code {code} without a word"
    return code


def run_line(place: Place, name: str, run_dir: Path) -> tuple[str, ...]:
    """Return the command that starts or resumes a campaign."""
    return ("run", str(inputs(place.undisturbed / "inputs") / f"{name}.yaml"), "--run-dir", str(run_dir))


@functools.cache
def _timed(undisturbed: Path, name: str, *line: str) -> float:
    began = time.monotonic()
    child = Child(undisturbed / f"{name}.log", command, *line)
    assert child.wait() == 0, child.said[-1500:]
    return time.monotonic() - began


def whole_run(place: Place, name: str) -> tuple[Path, float]:
    """Return a run that nothing disturbed, to be read only, and how many seconds it took."""
    run_dir = place.undisturbed / name
    return run_dir, _timed(place.undisturbed, name, *run_line(place, name, run_dir))


def whole_verified(place: Place, name: str) -> tuple[Path, float]:
    """Return a copy of that run which is verified, and how many seconds the verification took."""
    copy = place.undisturbed / f"{name} verified"
    if not copy.exists():
        shutil.copytree(whole_run(place, name)[0], copy)
    return copy, _timed(place.undisturbed, f"{name} verified", "verify", str(copy), "--top", "2")


def check_equal(place: Place, name: str, run_dir: Path) -> None:
    """Hold a run that was harmed and then ended against the one that nothing disturbed."""
    whole, _ = whole_run(place, name)
    assert names(run_dir) == names(whole), f"other files: {sorted(names(run_dir) ^ names(whole))}"
    assert contents(run_dir / "archive.sqlite") == contents(whole / "archive.sqlite"), "another archive"


def kills_of_run(place: Place, chance: random.Random) -> None:
    """SIGKILL `run` several times at random moments, and let it end."""
    name = place.subject = chance.choice([*CAMPAIGNS])
    _, seconds = whole_run(place, name)
    run_dir = place.directory / "run"
    for _ in range(chance.randint(1, 3)):
        child = place.child(command, *run_line(place, name, run_dir))
        time.sleep(chance.uniform(0.1, 1.0) * seconds)
        if not place.kill(child):
            break
        child.wait()
    check_end(place.child(command, *run_line(place, name, run_dir)))
    check_equal(place, name, run_dir)


def signals_to_run(place: Place, chance: random.Random) -> None:
    """Send `run` one to three signals that ask it to end."""
    name = place.subject = chance.choice([*CAMPAIGNS])
    _, seconds = whole_run(place, name)
    run_dir = place.directory / "run"
    child = place.child(command, *run_line(place, name, run_dir))
    time.sleep(chance.uniform(0.1, 1.0) * seconds)
    sent = _several(place, child, chance)
    place.subject = f"{name}, {' '.join(sent)}"
    check_end(child, ENDS)
    check_end(place.child(command, *run_line(place, name, run_dir)))
    check_equal(place, name, run_dir)


def _several(place: Place, child: Child, chance: random.Random, of: Sequence[signal.Signals] = POLITE) -> list[str]:
    sent = []
    for _ in range(chance.randint(1, 3)):
        number = chance.choice(of)
        if place.kill(child, number):
            sent.append(number.name)
        time.sleep(chance.choice((0.0, 0.05, 1.0)))
    return sent


def harmed_verify(place: Place, chance: random.Random) -> None:
    """Kill `verify` at a random moment; the next one says what an undisturbed one says."""
    name = place.subject = "nsga2"
    verified, seconds = whole_verified(place, name)
    run_dir = Path(shutil.copytree(whole_run(place, name)[0], place.directory / "run"))
    line = ("verify", str(run_dir), "--top", "2")
    _harm(place, chance, lambda: place.child(command, *line), seconds)
    check_end(place.child(command, *line))
    assert noted(run_dir) == noted(verified), "another verification"
    assert names(run_dir) == names(verified), f"other files: {sorted(names(run_dir) ^ names(verified))}"


def harmed_report(place: Place, chance: random.Random) -> None:
    """Kill `report`; whoever looks finds a whole page or none, and the next one leaves nothing behind."""
    name = place.subject = "nsga2"
    whole, _ = whole_run(place, name)
    run_dir = Path(shutil.copytree(whole, place.directory / "run"))
    seconds = _timed(place.undisturbed, "nsga2 reported", "report", str(whole))
    _harm(place, chance, lambda: place.child(command, "report", str(run_dir)), seconds)
    assert (run_dir / "report.html").read_text().rstrip().endswith("</html>"), "half a page"
    check_end(place.child(command, "report", str(run_dir)))
    assert names(run_dir) == names(whole), f"other files: {sorted(names(run_dir) ^ names(whole))}"


def harmed_export(place: Place, chance: random.Random) -> None:
    """Kill `export`: there is the whole directory or none, and the next export leaves nothing else."""
    place.subject = "nsga2"
    whole, _ = whole_run(place, "nsga2")
    run_dir = Path(shutil.copytree(whole, place.directory / "run"))
    line = ("export", str(run_dir), "--pick", "best", "--out")
    reference = place.undisturbed / "nsga2 exported"
    undisturbed = ("export", str(whole), "--pick", "best", "--out", str(reference))
    seconds = _timed(place.undisturbed, "nsga2 exported", *undisturbed)
    _harmed_output(place, chance, line, reference, seconds)


def harmed_merge(place: Place, chance: random.Random) -> None:
    """Kill `merge`, the same."""
    recipe = inputs(place.undisturbed / "inputs") / "recipe.yml"
    reference = place.undisturbed / "merged"
    seconds = _timed(place.undisturbed, "merged", "merge", str(recipe), str(reference))
    _harmed_output(place, chance, ("merge", str(recipe)), reference, seconds)


def _harmed_output(place: Place, chance: random.Random, line: Sequence[str], reference: Path, seconds: float) -> None:
    out = place.directory / "outputs" / "model"
    out.parent.mkdir()
    _harm(place, chance, lambda: place.child(command, *line, str(out)), seconds)
    if not out.exists():
        check_end(place.child(command, *line, str(out)))
    assert {p.name for p in out.parent.iterdir()} == {"model"}, "leftovers beside the output"
    assert names(out) == names(reference), f"other files: {sorted(names(out) ^ names(reference))}"
    for name in names(out):
        if name != "README.md":  # says when it was made
            assert (out / name).read_bytes() == (reference / name).read_bytes(), f"another {name}"


def _harm(place: Place, chance: random.Random, start: Callable[[], Child], seconds: float) -> None:
    for _ in range(chance.randint(1, 3)):
        child = start()
        time.sleep(chance.uniform(0.05, 1.0) * seconds)
        if chance.random() < 0.6:
            place.kill(child)
            child.wait()
        else:
            sent = _several(place, child, chance)
            place.subject = f"{place.subject} {' '.join(sent)}"
            check_end(child, ENDS)
