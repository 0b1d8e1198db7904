"""Which items stand for a task: anchors, each with the weight of the items that it speaks for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fitness.errors import FitnessError
from fitness.estimation.link import information
from fitness.estimation.response_model import FittedModel
from fitness.typing import Floats

Method = Literal["uniform", "stratified", "responses", "parameters", "information"]
METHODS: tuple[Method, ...] = get_args(Method)
_RESTARTS = 5
_PROBES = 50  # models whose abilities stand for all


@dataclass(frozen=True, eq=False)
class Anchors:
    """Some items of one task."""

    items: NDArray[np.intp]  # (n,) different indices among the task's items
    weights: Floats  # (n,) above 0, summing to 1: the estimate of the task's mean is weights @ scores


@dataclass(frozen=True, eq=False)
class TaskResponses:
    """What anchors of one task are chosen from."""

    scores: Floats  # (n_models, n_items) of the task; NaN where missing
    fitted: FittedModel  # the response model, of the task's items


def choose_anchors(method: Method, task: TaskResponses, n: int, rng: np.random.Generator) -> Anchors:
    """Choose `n` different items of a task.

    - uniform: every subset is as likely; equal weights.
    - stratified: items in the order of their mean score, cut into n strata, one of each at random.
    - responses, parameters: k-means on the items' scores by all models, or on (a, o); the item nearest to each centre,
      weighted by its cluster's share of the items (Polo et al., tinyBenchmarks, 2024).
    - information: those with the most Fisher information about abilities of the fitted models, equal weights.

    The choice is a function of the generator's state.
    """
    n_items = task.scores.shape[1]
    if not 1 <= n <= n_items:
        raise FitnessError(f"anchors: expected from 1 to {n_items}, all items of the task, found {n}")
    if n == n_items:
        return Anchors(np.arange(n, dtype=np.intp), np.full(n, 1.0 / n))
    return _METHODS[method](task, n, rng)


def _uniform(task: TaskResponses, n: int, rng: np.random.Generator) -> Anchors:
    return Anchors(np.sort(rng.permutation(task.scores.shape[1])[:n]), np.full(n, 1.0 / n))


def _stratified(task: TaskResponses, n: int, rng: np.random.Generator) -> Anchors:
    order = np.argsort(np.nanmean(task.scores, axis=0), kind="stable")
    strata = np.array_split(order, n)
    sizes = np.array([len(stratum) for stratum in strata], dtype=np.float64)
    items = np.array([rng.choice(stratum) for stratum in strata], dtype=np.intp)
    return _sorted(items, sizes / sizes.sum())


def _by_responses(task: TaskResponses, n: int, rng: np.random.Generator) -> Anchors:
    means = np.nanmean(task.scores, axis=0)
    return _clustered(np.where(np.isfinite(task.scores), task.scores, means).T, n, rng)


def _by_parameters(task: TaskResponses, n: int, rng: np.random.Generator) -> Anchors:
    items = task.fitted.items
    return _clustered(np.column_stack([items.discriminations, items.intercepts]), n, rng)


def _by_information(task: TaskResponses, n: int, rng: np.random.Generator) -> Anchors:
    """Greedily add the item that most raises the mean log determinant of the posterior precision (D-optimality)."""
    del rng
    items, abilities = task.fitted.items, task.fitted.abilities[:: -(-len(task.fitted.abilities) // _PROBES)]
    weights = information(abilities @ items.discriminations.T + items.intercepts, items.guessing)
    covariances = np.broadcast_to(np.eye(items.dims), (len(abilities), items.dims, items.dims)).copy()
    chosen: list[int] = []
    for _ in range(n):
        spread = covariances @ items.discriminations.T  # (n_models, dims, n_items)
        leverage = np.einsum("id,mdi->mi", items.discriminations, spread)
        gains = np.log1p(weights * leverage).mean(axis=0)
        gains[chosen] = -np.inf
        best = int(np.argmax(gains))
        chosen.append(best)
        # Sherman-Morrison: the precision of each model grows by w a a^T.
        v, w = spread[:, :, best], weights[:, best]
        covariances -= (w / (1.0 + w * leverage[:, best]))[:, None, None] * v[:, :, None] * v[:, None, :]
    return _sorted(np.array(chosen, dtype=np.intp), np.full(n, 1.0 / n))


def _clustered(points: Floats, n: int, rng: np.random.Generator) -> Anchors:
    """Return the item nearest to each centre of k-means; clusters that share their nearest item are one."""
    centres, labels = _k_means(points, n, rng)
    sizes: dict[int, int] = {}
    for cluster in np.unique(labels):
        members = np.flatnonzero(labels == cluster)
        nearest = members[int(np.argmin(((points[members] - centres[cluster]) ** 2).sum(axis=1)))]
        sizes[int(nearest)] = len(members)
    chosen = _filled(points, np.array(list(sizes), dtype=np.intp), n)
    weights = np.array([sizes.get(int(item), 0) for item in chosen], dtype=np.float64)
    # Items that fill up for empty clusters speak for themselves alone.
    weights[weights == 0.0] = 1.0
    return _sorted(chosen, weights / weights.sum())


def _k_means(points: Floats, n: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.intp]]:
    """Return (n, k) centres and (n_items,) labels, the best of a few starts; some clusters may be empty."""
    from scipy.cluster.vq import kmeans2

    distinct, labels = np.unique(points, axis=0, return_inverse=True)
    if len(distinct) <= n:
        return distinct, labels.reshape(-1)
    best: tuple[float, Floats, NDArray[np.intp]] | None = None
    for _ in range(_RESTARTS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty cluster
            centres, labels = kmeans2(points, n, minit="++", rng=rng, iter=30)
        spread = float(((points - centres[labels]) ** 2).sum())
        if best is None or spread < best[0]:
            best = spread, centres, labels
    assert best is not None
    return best[1], best[2]


def _filled(points: Floats, chosen: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    """Add the items farthest from all chosen ones until there are n: equal items leave clusters empty."""
    items = chosen.tolist()
    distances = np.min([((points - points[item]) ** 2).sum(axis=1) for item in items], axis=0)
    distances[items] = -1.0
    while len(items) < n:
        item = int(np.argmax(distances))
        items.append(item)
        distances = np.minimum(distances, ((points - points[item]) ** 2).sum(axis=1))
        distances[items] = -1.0
    return np.array(items, dtype=np.intp)


def _sorted(items: NDArray[np.intp], weights: Floats) -> Anchors:
    order = np.argsort(items)
    return Anchors(items[order], weights[order])


_METHODS: Mapping[Method, Callable[[TaskResponses, int, np.random.Generator], Anchors]] = {
    "uniform": _uniform,
    "stratified": _stratified,
    "responses": _by_responses,
    "parameters": _by_parameters,
    "information": _by_information,
}
