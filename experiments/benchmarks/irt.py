"""Fitting response models: seconds, recovery of simulated parameters, and agreement with girth.

usage: python -m experiments.benchmarks.irt [--models N] [--items N] [--peer PYTHON] [--json]

Worlds are simulated: abilities N(0, I), discriminations |N(1, 0.4)|, intercepts N(0, 1.5), 3PL with a quarter guessed.
Correlations are of what was fitted with what was simulated; abilities of several dimensions after the best turn of
their axes. The ability of a new model comes from 100 of its answers.

Expected on two cores: every form in seconds at 300 x 3,000, abilities with r > 0.95. --peer (a Python with girth 0.8,
which fits a 2PL by marginal maximum likelihood): abilities that agree with r > 0.99.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fitness.estimation import Coordinates, ItemParameters, fit, fit_ability

Floats = NDArray[np.float64]
Form = Literal["1pl", "2pl", "3pl"]
SHAPES: tuple[tuple[Form, int], ...] = (("1pl", 1), ("2pl", 1), ("2pl", 2), ("2pl", 5), ("3pl", 1))
N_ANSWERS = 100
PEER_ITEMS = 100  # girth takes a second for each
PEER_SCRIPT = Path(__file__).with_name("girth_peer.py")


@dataclass(frozen=True)
class Row:
    """One form's fit."""

    form: Form
    dims: int
    seconds: float  # of the whole fit
    ability: float  # lowest correlation over the dimensions, of the fitted models
    intercept: float  # correlation over items
    new_ability: float  # lowest correlation over the dimensions, of models that the fit did not see
    ability_ms: float  # milliseconds per new model


@dataclass(frozen=True)
class Agreement:
    """Our 2PL and girth's on the same scores."""

    abilities: float  # correlation of the two
    intercepts: float  # correlation of the two, of items that between 5 % and 95 % of the models get right
    ours: float  # correlation of our abilities with the simulated ones
    theirs: float  # the same of girth's
    seconds: float  # ours
    peer_seconds: float  # girth's


def simulated(n_models: int, n_items: int, form: Form, dims: int, seed: int) -> tuple[ItemParameters, Floats, Floats]:
    """Return item parameters, (n_models, dims) abilities and (n_models, n_items) scores."""
    rng = np.random.default_rng(seed)
    slopes = np.ones((n_items, 1)) if form == "1pl" else np.abs(rng.normal(1, 0.4, (n_items, dims)))
    guessing = np.full(n_items, 0.25 if form == "3pl" else 0.0)
    items = ItemParameters(slopes, rng.normal(0, 1.5, n_items), guessing)
    abilities = rng.normal(size=(n_models, dims))
    scores = rng.random((n_models, n_items)) < items.probabilities(abilities)
    return items, abilities, scores.astype(np.float64)


def measure(form: Form, dims: int, n_models: int, n_items: int) -> Row:
    """Fit one form, then place as many new models."""
    items, abilities, scores = simulated(2 * n_models, n_items, form, dims, seed=dims)
    began = time.perf_counter()
    fitted = fit(scores[:n_models], form, dims=dims, guessing=items.guessing if form == "3pl" else None)
    seconds = time.perf_counter() - began
    shown = np.sort(np.random.default_rng(0).permutation(n_items)[:N_ANSWERS])
    coordinates = Coordinates.free(fitted.items).of(shown)
    began = time.perf_counter()
    placed = np.array([fit_ability(coordinates, row[shown]).value for row in scores[n_models:]])
    each = 1000 * (time.perf_counter() - began) / n_models
    return Row(
        form,
        dims,
        seconds,
        _explained(fitted.abilities, abilities[:n_models]),
        _correlation(fitted.items.intercepts, items.intercepts),
        _explained(placed, abilities[n_models:]),
        each,
    )


def compare(n_models: int, n_items: int, python: Path) -> Agreement:
    """Fit the same scores here and with girth."""
    _, abilities, scores = simulated(n_models, n_items, "2pl", 1, seed=7)
    began = time.perf_counter()
    fitted = fit(scores)
    seconds = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as directory:
        given, found = Path(directory, "scores.npy"), Path(directory, "found.npz")
        np.save(given, scores)
        subprocess.run([str(python), str(PEER_SCRIPT), str(given), str(found)], check=True)
        with np.load(found) as theirs:
            peer = {name: np.array(theirs[name]) for name in theirs.files}
    rates = scores.mean(axis=0)
    told = (rates > 0.05) & (rates < 0.95)
    return Agreement(
        _correlation(fitted.abilities, peer["abilities"]),
        _correlation(fitted.items.intercepts[told], -(peer["a"] * peer["b"])[told]),
        _correlation(fitted.abilities, abilities),
        _correlation(peer["abilities"], abilities),
        seconds,
        float(peer["seconds"]),
    )


def main() -> None:
    """Print one line per form, and the agreement with girth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=300)
    parser.add_argument("--items", type=int, default=3000)
    parser.add_argument("--peer", type=Path, help="a Python with girth")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = [measure(form, dims, arguments.models, arguments.items) for form, dims in SHAPES]
    agreement = None if arguments.peer is None else compare(arguments.models, PEER_ITEMS, arguments.peer)
    if arguments.json:
        print(json.dumps({"rows": [asdict(r) for r in rows], "girth": agreement and asdict(agreement)}))
        return
    print(f"{arguments.models} models x {arguments.items} items")
    print("form  dims  seconds  r(abilities)  r(intercepts)  r(new abilities)  ms per new model")
    for r in rows:
        numbers = f"{r.ability:>14.4f}{r.intercept:>15.4f}{r.new_ability:>18.4f}{r.ability_ms:>18.2f}"
        print(f"{r.form:<6}{r.dims:>4}{r.seconds:>9.1f}{numbers}")
    if agreement is not None:
        a = agreement
        print(f"girth, {arguments.models} x {PEER_ITEMS}: abilities r = {a.abilities:.4f}")
        print(f"  intercepts r = {a.intercepts:.4f}")
        print(f"  with the truth: ours {a.ours:.4f}, girth's {a.theirs:.4f}")
        print(f"  seconds: ours {a.seconds:.1f}, girth's {a.peer_seconds:.1f}")


def _explained(found: Floats, truth: Floats) -> float:
    turn = np.linalg.lstsq(found, truth, rcond=None)[0]
    return min(_correlation((found @ turn)[:, k], truth[:, k]) for k in range(truth.shape[1]))


def _correlation(a: Floats, b: Floats) -> float:
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


if __name__ == "__main__":
    main()
