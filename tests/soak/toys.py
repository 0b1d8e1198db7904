"""SIGKILLs of toy campaigns: every optimiser, generations halved or screened, items of their own, a full disk."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable
from pathlib import Path

from evomerge.archive import Archive
from evomerge.workers.in_process import InProcessPool
from tests.evomerge.killing import EVALUATIONS, contents
from tests.evomerge.schedules import test_screen
from tests.evomerge.schedules.test_screen import ToyScreeningWorker
from tests.evomerge.toy import ToyWorker
from tests.evomerge.toy_run import MORE_OPTIMISERS, OPTIMISERS, run_toy
from tests.evomerge.toy_schedules import OPTIMISERS as GENERATIONAL
from tests.evomerge.toy_schedules import CountingWorker, halving, own_items, run_schedule
from tests.soak.children import Child
from tests.soak.place import Place

# One place again and again is no generation; m2n2 compares the same items.
NOT_WITH = {"own items": ("m2n2",), **dict.fromkeys(("halved", "screened", "screened and halved"), ("again",))}
TOYS = (
    *OPTIMISERS,
    *MORE_OPTIMISERS,
    *(
        f"{schedule} {name}"
        for schedule in ("own items", "halved", "screened", "screened and halved")
        for name in GENERATIONAL
        if name not in NOT_WITH.get(schedule, ())
    ),
)


def run(path: Path, name: str, pause: float) -> None:
    """Start or resume a toy campaign until it ends."""
    if name not in {**OPTIMISERS, **MORE_OPTIMISERS}:
        schedule, _, optimiser = name.rpartition(" ")
        _run_scheduled(path, schedule, optimiser, pause).close()
        return
    ending = run_toy(path, name, EVALUATIONS, pool=InProcessPool(functools.partial(ToyWorker, 0.05, pause)))
    assert ending == "evaluations", ending


def _run_scheduled(path: Path, schedule: str, optimiser: str, pause: float) -> Archive:
    worker = functools.partial(CountingWorker, pause)
    if schedule in ("halved", "own items"):
        scheduled = halving if schedule == "halved" else own_items
        return run_schedule(path, optimiser, EVALUATIONS, scheduled, pool=InProcessPool(worker))
    pool = InProcessPool(lambda: ToyScreeningWorker(worker(), fails=frozenset({9, 20})))
    rungs = (20, 60) if schedule == "screened and halved" else ()
    return test_screen.run(path, optimiser, EVALUATIONS, pool=pool, rungs=rungs)


@functools.cache
def whole(directory: Path, name: str) -> tuple[object, ...]:
    """Return the contents of a campaign that nothing disturbed."""
    path = directory / f"{name}.sqlite"
    assert Child(directory / f"{name}.log", run, path, name, 0.0).wait() == 0
    return contents(path)


def kills_of_a_toy(place: Place, chance: random.Random) -> None:
    """SIGKILL a campaign a few times, each at a random moment, and let it end."""
    name = chance.choice(TOYS)
    place.subject = name
    path = place.directory / "archive.sqlite"
    _kill(place, chance, lambda: place.child(run, path, name, 0.004))
    assert place.child(run, path, name, 0.0).wait() == 0, place.said
    assert [p.name for p in place.directory.iterdir() if p.suffix != ".log"] == [path.name], "leftovers"
    assert contents(path) == whole(place.undisturbed, name), "another archive than without kills"


def _kill(place: Place, chance: random.Random, start: Callable[[], Child]) -> None:
    for _ in range(chance.randint(3, 9)):
        child = start()
        time.sleep(chance.uniform(0.01, 0.4))
        place.kill(child)
        if child.wait() == 0:  # it was done before
            break
