"""Items whose parameters come from elsewhere, a bank: brought onto the scale of one's own models, others beside them.

Every bank has an ability scale of its own, and so a dimension of its own here; models of another kind than the bank's
have another mean and spread on it. Abilities of a few own models are estimated from the banks' items, the scale is
moved so that these have mean 0 and covariance I (which is what estimates of candidates begin from), and items
that no bank has are fitted beside the banks', which stay fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fitness.errors import FitnessError
from fitness.estimation.ability import Coordinates, fit_ability
from fitness.estimation.link import predicted
from fitness.estimation.response_model import FittedModel, Form, ItemParameters, fit_beside
from fitness.typing import Floats

FEWEST_KNOWN = 5  # items of a bank, to know of any ability
_NODES = 61
_WIDE = 3.0  # standard deviation of abilities on the bank's scale before own models are known
_LEAST_SPREAD = 0.1  # of own models on the bank's scale


@dataclass(frozen=True, eq=False)
class KnownItems:
    """Some items of a benchmark, and what banks say of them."""

    places: NDArray[np.intp]  # (n,) indices of the benchmark's items, each once
    parameters: ItemParameters  # of them, on the banks' scales

    @classmethod
    def of_banks(cls, banks: Sequence[tuple[NDArray[np.intp], ItemParameters]]) -> KnownItems:
        """Return the items of several banks, each on scales of its own; an item of two is the first's."""
        dims = sum(parameters.dims for _, parameters in banks)
        places, rows, before = list[int](), list[ItemParameters](), 0
        for own, parameters in banks:
            new = [i for i, place in enumerate(own.tolist()) if place not in set(places)]
            chosen = parameters.of(new)
            wide = np.zeros((len(new), dims))
            wide[:, before : before + chosen.dims] = chosen.discriminations
            rows.append(ItemParameters(wide, chosen.intercepts, chosen.guessing))
            places += own[new].tolist()
            before += parameters.dims
        joined = ItemParameters(
            np.concatenate([r.discriminations for r in rows]),
            np.concatenate([r.intercepts for r in rows]),
            np.concatenate([r.guessing for r in rows]),
        )
        return cls(np.array(places, dtype=np.intp), joined)


def from_mirt(a: Floats, d: Floats, guessing: Floats, upper: Floats) -> ItemParameters:
    """Return what mirt's (n, dims) slopes `a1`, ..., intercepts `d`, and asymptotes `g` and `u` mean.

    mirt: P = g + (u - g) sigma(a theta + d) (Chalmers, J. Statistical Software 48, 2012). The response model here has
    no upper asymptote: an item with u < 1 becomes the one without, with the same g, that is closest to it in
    Kullback-Leibler divergence over abilities N(0, 1) along its slopes.
    """
    slopes, intercepts = np.array(a, dtype=np.float64), np.array(d, dtype=np.float64)
    nodes = _normal_nodes()
    for i in np.flatnonzero(upper < 1.0):
        length = float(np.linalg.norm(slopes[i]))
        chances = guessing[i] + (upper[i] - guessing[i]) * predicted(length * nodes + intercepts[i])
        design = np.column_stack([nodes, np.ones(_NODES)])
        start = np.array([length, intercepts[i]])
        floors = np.full(_NODES, guessing[i])
        slope, intercepts[i] = fit_ability(Coordinates(design, np.zeros(_NODES), floors, start, 1e-3), chances).value
        slopes[i] *= slope / length if length > 0.0 else 0.0
    return ItemParameters(slopes, intercepts, np.array(guessing, dtype=np.float64))


@dataclass(frozen=True, eq=False)
class LinkedFit:
    """Fits a response model to rows of a benchmark of which banks know some items; implements `Fitter`."""

    known: KnownItems
    guessing: Floats  # (n_items,) floors of the items that no bank knows

    form: Form = "3pl"

    @property
    def dims(self) -> int:
        """How many abilities a model has: one for each of the banks' scales."""
        return self.known.parameters.dims

    def __call__(self, scores: Floats, chosen: NDArray[np.intp]) -> FittedModel:
        """Return the fit of (n_models, n_chosen) scores of some items of the benchmark, by their indices."""
        place = {int(item): i for i, item in enumerate(chosen)}
        held = [i for i, item in enumerate(self.known.places.tolist()) if item in place]
        where = np.array([place[int(self.known.places[i])] for i in held], dtype=np.intp)
        banks = self.known.parameters.of(held)
        parameters = ItemParameters(np.zeros((len(chosen), self.dims)), np.zeros(len(chosen)), self.guessing[chosen])
        mean, spread = population(scores[:, where], banks)
        parameters.discriminations[where] = banks.discriminations @ spread
        parameters.intercepts[where] = banks.intercepts + banks.discriminations @ mean
        parameters.guessing[where] = banks.guessing
        is_known = np.zeros(len(chosen), dtype=bool)
        is_known[where] = True
        return fit_beside(scores, parameters, is_known)


def population(scores: Floats, items: ItemParameters) -> tuple[Floats, Floats]:
    """Return the (dims,) mean of models' abilities, and a (dims, dims) root of their covariance, by these items.

    What abilities are not sure of is no part of the covariance (a moment estimate, at least .1 in every direction).
    """
    if len(items.intercepts) < FEWEST_KNOWN:
        raise FitnessError(f"bank: expected at least {FEWEST_KNOWN} known items, found {len(items.intercepts)}")
    wide = Coordinates(items.discriminations, items.intercepts, items.guessing, np.zeros(items.dims), 1.0 / _WIDE**2)
    seen = [np.flatnonzero(np.isfinite(row)) for row in scores]
    found = [fit_ability(wide.of(s), row[s]) for s, row in zip(seen, scores, strict=True)]
    values = np.stack([ability.value for ability in found])
    unsure = np.mean([ability.covariance for ability in found], axis=0)
    centred = values - values.mean(axis=0)
    sizes, axes = np.linalg.eigh(centred.T @ centred / len(values) - unsure)
    return values.mean(axis=0), axes * np.sqrt(np.maximum(sizes, _LEAST_SPREAD**2))


def _normal_nodes() -> Floats:
    from scipy.special import ndtri

    return np.asarray(ndtri((np.arange(_NODES) + 0.5) / _NODES))
