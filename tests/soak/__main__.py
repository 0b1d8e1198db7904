"""An hour of random faults: `make soak`, or `python -m tests.soak --minutes 60 --seed 1`.

Each round draws a kind of fault, harms something at a random moment, and holds what is left against a run that nothing
disturbed. A round that does not survive is printed with the command that repeats it, and its directory is kept.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.soak.children import CONTEXT, PRELOADED
from tests.soak.faults import FAULTS, Fault
from tests.soak.place import Place
from tests.soak.tally import SkippedError, Tally


def main(arguments: Sequence[str] | None = None, faults: Mapping[str, Fault] = FAULTS) -> int:
    """Return 0 where everything survived."""
    asked = _parser().parse_args(arguments)
    scratch = Path(asked.scratch or tempfile.mkdtemp(prefix="evomerge-soak-"))
    (scratch / "undisturbed").mkdir(parents=True, exist_ok=True)
    kinds = [kind for kind in faults if asked.only is None or asked.only in kind]
    draw, tally = random.Random(asked.seed), Tally()
    end = time.monotonic() + 60 * asked.minutes
    rounds = 0
    while rounds < asked.rounds and time.monotonic() < end and tally.kills < asked.kills:
        kind = draw.choices(kinds, [faults[kind].weight for kind in kinds])[0]
        rounds += 1
        seed = draw.randrange(10**9)
        if asked.round in (None, rounds):
            directory = scratch / f"round-{rounds}"
            directory.mkdir()
            place = Place(directory, scratch / "undisturbed", kind, tally)
            _attempt(place, faults[kind], seed, repeat=f"--seed {asked.seed} --round {rounds}")
        if asked.json:
            Path(asked.json).write_text(tally.to_json())
    print(tally.table())
    if not tally.lost and not asked.scratch:
        shutil.rmtree(scratch)
    return 1 if tally.lost else 0


def _attempt(place: Place, fault: Fault, seed: int, *, repeat: str) -> None:
    tally, kind = place.tally, place.kind
    try:
        fault.happen(place, random.Random(seed))
    except SkippedError as error:
        tally.skipped[kind] = str(error)
    except Exception as error:
        tally.tried[kind] += 1
        told = f"{type(error).__name__}: {error}"[:2000]
        tally.lost.append({"kind": kind, "subject": place.subject, "repeat": repeat, "why": told})
        line = traceback.extract_tb(error.__traceback__)[-1].lineno
        print(f"LOST {kind} ({place.subject}) {repeat}, {place.directory}, line {line}: {told}", flush=True)
        return
    else:
        tally.tried[kind] += 1
        tally.survived[kind] += 1
    finally:
        place.clear()
    shutil.rmtree(place.directory)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=10**9, help="at most so many rounds")
    parser.add_argument("--kills", type=int, default=10**9, help="end after so many SIGKILLs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", metavar="WORDS", help="only kinds whose name holds this")
    parser.add_argument("--round", type=int, help="carry out this round alone")
    parser.add_argument("--json", metavar="FILE", help="write the counts there, after every round")
    parser.add_argument("--scratch", metavar="DIR", help="where to work; left out: a directory that is removed")
    return parser


if __name__ == "__main__":
    CONTEXT.set_forkserver_preload(PRELOADED)
    sys.exit(main())
