"""Hostile input for minutes: `make fuzz`, or `python -m tests.fuzz --minutes 10`.

Every kind of input in turn, fifty at a time. What ends neither well nor in one of evomerge's own errors is a defect:
its first input is kept, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import logging
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.guard import Findings, outcome
from tests.fuzz.targets import TARGETS

AT_A_TIME = 50
MEMORY_BYTES = 24 * 2**30


def fuzz(name: str, directory: Path, *, start: int, examples: int, findings: Findings) -> None:
    """Try some inputs of a kind, and note how they ended."""
    target = TARGETS[name]

    @seed(start)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(target.inputs(directory))
    def attempt(spoilt: object) -> None:
        ending, error = outcome(lambda: target.read(spoilt, directory))
        findings.tried[name] += 1
        if ending == "refused":
            findings.refused[name] += 1
        elif error is not None and f"{name}: {ending}" not in findings.defects:
            told = "".join(traceback.format_exception(error))[-3000:]
            findings.defects[f"{name}: {ending}"] = f"{str(spoilt)[:3000]}\n{told}"

    attempt()


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 where no input was a defect."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", metavar="WORDS", help="only kinds whose name holds this")
    parser.add_argument("--out", type=Path, help="a directory for the first input of every defect")
    asked = parser.parse_args(arguments)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    logging.disable()
    warnings.simplefilter("ignore")
    names = [name for name in TARGETS if asked.only is None or asked.only in name]
    findings, turn, end = Findings(), 0, time.monotonic() + 60 * asked.minutes
    with tempfile.TemporaryDirectory(prefix="evomerge-fuzz-") as scratch:
        while time.monotonic() < end:
            name = names[turn % len(names)]
            directory = Path(scratch) / str(turn)
            directory.mkdir()
            fuzz(name, directory, start=asked.seed + turn, examples=AT_A_TIME, findings=findings)
            turn += 1
    return _told(findings, asked.out)


def _told(findings: Findings, out: Path | None) -> int:
    print("| input | tried | refused with a message | accepted or defect |\n|---|---:|---:|---:|")
    for name, tried in findings.tried.items():
        print(f"| {name} | {tried} | {findings.refused[name]} | {tried - findings.refused[name]} |")
    for number, (where, told) in enumerate(findings.defects.items()):
        print(f"DEFECT {number} {where}")
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            (out / f"{number}.txt").write_text(f"{where}\n{told}\n", errors="backslashreplace")
    return 1 if findings.defects else 0


if __name__ == "__main__":
    sys.exit(main())
