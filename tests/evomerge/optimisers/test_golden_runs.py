"""Every optimiser proposes what it proposed when it was recorded.

`python -m tests.evomerge.optimisers.test_golden_runs` records anew, after a change that is meant to change proposals or
a new version of pycma, pymoo or numpy: campaigns that are running cannot be resumed with it.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evomerge.optimisers.cma.cma_es import CmaEsSearch
from evomerge.optimisers.pymoo.pymoo_adapter import PymooOptimiser
from evomerge.optimisers.pymoo.pymoo_catalogue import ALGORITHMS
from evomerge.optimisers.random_search import RandomSearch
from evomerge.testing.optimiser_contract import drive
from tests.evomerge.optimisers.pymoo.test_every_pymoo_algorithm import arguments
from tests.evomerge.optimisers.structured.test_structured import make as structured

GOLDEN = Path(__file__).parent / "golden" / "optimisers.json"
WEIGHTS = {"left": 1.0, "right": 1.0}


def cma(**options: Any) -> Callable[[], CmaEsSearch]:
    return lambda: CmaEsSearch(3, weights=WEIGHTS, seed=0, **options)


OPTIMISERS: dict[str, Callable[[], Any]] = {
    "random": lambda: RandomSearch(3, seed=0),
    "cma_es": cma(),
    "cma_es, sep": cma(sep=True),
    "cma_es, lq": cma(lq=True),
    "cma_es, ipop": cma(restarts="ipop", population=4, options={"tolfun": 1e-2}),
    "cma_es, bipop": cma(restarts="bipop", population=4, options={"tolfun": 1e-2}),
    "structured": lambda: structured(14, seed=0, population=8),
    "structured, ga": lambda: structured(14, seed=0, population=8, discrete="ga"),
    **{name: lambda name=name: PymooOptimiser(**arguments(name)) for name in ALGORITHMS},
}


def here() -> dict[str, str]:
    """Return what the last bit of a float may depend on: libraries, and what this processor makes of a calculation."""
    versions = {library: version(library) for library in ("numpy", "scipy", "cma", "pymoo")}
    return {"machine": platform.machine(), "system": platform.system(), **versions, "arithmetic": arithmetic()}


def arithmetic() -> str:
    """Return a digest of functions whose last bits differ between processors (numpy and BLAS choose code by them)."""
    numbers = np.random.default_rng(0).standard_normal((24, 24))
    results = [np.exp(numbers), np.sin(numbers), np.log(np.abs(numbers)), np.abs(numbers) ** 0.3, numbers @ numbers]
    results += np.linalg.eigh(numbers @ numbers.T)
    return hashlib.sha256(b"".join(np.ascontiguousarray(result).tobytes() for result in results)).hexdigest()[:16]


def run(name: str) -> dict[str, Any]:
    """Return the first genome and a digest of sixty, failures among their outcomes."""
    genomes = drive(OPTIMISERS[name](), 60, ask=(5,), fail_every=7)
    return {"first": genomes[0].tolist(), "digest": hashlib.sha256(np.array(genomes).tobytes()).hexdigest()}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_golden_run_is_repeated(name: str) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    found, recorded = run(name), golden["runs"][name]
    assert found["first"] == pytest.approx(recorded["first"], abs=1e-9)
    if here() == golden["platform"]:
        assert found["digest"] == recorded["digest"]


def test_every_golden_run_is_of_an_optimiser() -> None:
    assert set(json.loads(GOLDEN.read_text(encoding="utf-8"))["runs"]) == set(OPTIMISERS)


if __name__ == "__main__":
    text = json.dumps({"platform": here(), "runs": {name: run(name) for name in OPTIMISERS}}, indent=1)
    GOLDEN.write_text(text + "\n", encoding="utf-8")
