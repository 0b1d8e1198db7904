"""How the scores of simulated models come about: in expectation they are exactly what is true of the model.

A model of rate p has an item right where sqrt(a) H + sqrt(1 - a) Z < ppf(p): H says how hard the item is, which all
models share, Z is the model's own, both standard normal. So models are alike by a, and p is the chance over all items.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]
# (stream, (models, objectives) truths, items of each objective, how many of the first models are parents) ->
# (models, objectives, items) scores
Answers = Callable[[np.random.Generator, Floats, int, int], Floats]

ALIKE = 0.6


def right_or_wrong(*, alike: float = ALIKE, per_passage: int = 1, of_passage: float = 0.0) -> Answers:
    """Return answers that are right or wrong; at `alike` 1 a better model has right whatever a worse one has.

    So many items in turn belong to one passage, which each model understands better or worse than others: that is
    `of_passage` of what is its own.
    """

    def draw(rng: np.random.Generator, truth: Floats, n_items: int, _n_parents: int) -> Floats:
        hard, own = rng.normal(size=(truth.shape[1], n_items)), rng.normal(size=(*truth.shape, n_items))
        passages = rng.normal(size=(*truth.shape, -(-n_items // per_passage))).repeat(per_passage, axis=-1)
        own = of_passage**0.5 * passages[..., :n_items] + (1 - of_passage) ** 0.5 * own
        right: Floats = alike**0.5 * hard + (1 - alike) ** 0.5 * own < ndtri(truth)[..., None]
        return right.astype(np.float64)

    return draw


RIGHT_OR_WRONG = right_or_wrong()


def graded(rng: np.random.Generator, truth: Floats, n_items: int, _n_parents: int) -> Floats:
    """Return the chance to have the item right, as the model's own 0.2 of Z leave it open: numbers in (0, 1)."""
    hard, own = rng.normal(size=(truth.shape[1], n_items)), rng.normal(size=(*truth.shape, n_items))
    left = (1 - ALIKE - 0.2) ** 0.5
    return np.asarray(ndtr((ndtri(truth)[..., None] - ALIKE**0.5 * hard - 0.2**0.5 * own) / left))


def rarely_other(size: float, share: float) -> Answers:
    """Return scores near the truth, but merges have `size` more (less, below 0) on a share of the items.

    On all other items they have so much less (more) that the truth is kept.
    """

    def draw(rng: np.random.Generator, truth: Floats, n_items: int, n_parents: int) -> Floats:
        scores = truth[..., None] + rng.uniform(-0.005, 0.005, (*truth.shape, n_items))
        rare = rng.random(scores[n_parents:].shape) < share
        scores[n_parents:] += np.where(rare, size, -size * share / (1 - share))
        return scores

    return draw


def log_likelihoods(*, long_tails: bool) -> Answers:
    """Return scores without bounds that share what is hard; with long tails few items decide, else tails are t3's."""

    def draw(rng: np.random.Generator, truth: Floats, n_items: int, n_parents: int) -> Floats:
        hard = 2.0 * rng.normal(size=(truth.shape[1], n_items))
        if long_tails:
            own = np.exp(0.5) - rng.lognormal(size=(*truth.shape, n_items))
            own[:n_parents] = 0.0
        else:
            own = rng.standard_t(3, size=(*truth.shape, n_items))
        return np.asarray(truth[..., None] + hard + 0.5 * own)

    return draw
