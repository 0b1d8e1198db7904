"""What is expected of candidates on further items: their estimates, shrunk for having been picked among many.

An archive keeps what was observed. The best of it owes something to luck, so whatever picks by search items, or shows
what was picked, goes by `expected`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evomerge.archive import Archive, Record
from evomerge.results.pooled import answered_own_items, pooled_estimates
from evomerge.typing import Floats
from fitness.estimation.population import posterior
from fitness.estimation.unequal_items import on_all_items
from fitness.scores import Estimate, ItemScores

_MOST_READ = 200  # candidates whose item scores are looked at, where all answered as many
_MOST_UNEQUAL, _MOST_ANSWERS = 4000, 20_000_000  # candidates, and their answers, where they did not
_ROUNDING = 1e-6


def judged(archive: Archive) -> list[Record]:
    """Return every outcome on search items with the estimate that fronts, picks and constraints go by.

    That is what the optimiser was told, or where candidates answered items of their own what all of these together say
    (see `pooled`).
    """
    records = archive.records("search")
    pooled = pooled_estimates(archive, records)
    return [replace(r, estimate=pooled.get(r.number, r.estimate)) for r in records] if pooled else records


def observed(archive: Archive) -> dict[int, Estimate]:
    """Return the estimate of everything scored on search items, each candidate's on the most items."""
    found = {record.number: record.estimate for record in judged(archive) if record.estimate is not None}
    return found | {number: larger for number, larger in archive.rescored().items() if number in found}


def expected(archive: Archive, found: Mapping[int, Estimate] | None = None) -> dict[int, Estimate]:
    """Return what is expected of every candidate on further items (see `shrunken`).

    Landmarks, which nobody picked, and who answered nothing (a screen set it aside) are as observed; so are pooled
    estimates, which expect no more already. `found` is what `observed` returns, where that is known.
    """
    found = observed(archive) if found is None else dict(found)
    if any(objective.kind == "pooled" for estimate in found.values() for objective in estimate.objectives):
        return found
    landmarks = {candidate.number for candidate in archive.landmarks()}
    proposed = {
        number: estimate
        for number, estimate in found.items()
        if number not in landmarks and all(objective.n_items for objective in estimate.objectives)
    }
    if len(proposed) < 2:
        return found
    return found | shrunken(proposed, _errors(archive, proposed))


@dataclass(frozen=True, eq=False)
class Errors:
    """What estimates say, and how far luck may have moved each."""

    values: Floats  # (n, m) on all items
    own: Floats  # (n, m) variances of errors that are a candidate's own

    @classmethod
    def by_share(cls, found: Mapping[int, Estimate], share: float) -> Errors:
        """Return estimates as they are; of their squared standard errors a share in (0, 1] is the candidate's own."""
        values = np.array([[o.value for o in estimate.objectives] for estimate in found.values()])
        shares = np.array([1.0 if estimate.stopped else share for estimate in found.values()])[:, None]
        return cls(values, shares * _pooled(_squares(found), list(found.values())))


def shrunken(found: Mapping[int, Estimate], errors: Errors) -> dict[int, Estimate]:
    """Return candidates' estimates, shrunk by what all of them are like (see `fitness.estimation.population`).

    Where all estimates of an objective lie in [0, 1], as those of right answers do, so does what is expected: along the
    directions of a trade-off it might be moved out.

    A standard error is that of what is left to know of the candidate, plus how far its estimate was moved, plus the
    error that all share; not more than before.
    """
    known, squares = posterior(errors.values, errors.own), _squares(found)
    bounded = ((errors.values >= 0.0) & (errors.values <= 1.0)).all(axis=0)
    likely = np.where(bounded, np.clip(known.values, 0.0, 1.0), known.values)
    doubt = known.variances + (likely - errors.values) ** 2 + np.maximum(squares - errors.own, 0.0)
    stderrs = np.sqrt(np.minimum(doubt, squares))
    return {
        number: replace(
            estimate,
            objectives=tuple(
                replace(o, value=float(value), stderr=float(stderr))
                for o, value, stderr in zip(estimate.objectives, means, errors, strict=True)
            ),
        )
        for (number, estimate), means, errors in zip(found.items(), likely, stderrs, strict=True)
    }


def _errors(archive: Archive, found: Mapping[int, Estimate]) -> Errors:
    # A reduced benchmark's estimates err by more than the items that they are from.
    if archive.noted("reduced"):
        return Errors.by_share(found, 1.0)
    sizes = {tuple(o.n_items for o in estimate.objectives) for estimate in found.values()}
    unequal = len(sizes) > 1 or answered_own_items(archive)
    by_items = _by_items(archive, found) if unequal and len(found) <= _MOST_UNEQUAL else None
    return by_items or Errors.by_share(found, own_share(_some_scores(archive, list(found))))


def _by_items(archive: Archive, found: Mapping[int, Estimate]) -> Errors | None:
    """Return what candidates would have on all items, where they answered unequal ones; None where it is not known.

    Objectives are means of tasks; of which, the archive does not say in so many words, but the values do.
    """
    scores = [archive.scores(number, "search") for number in found]
    whole = [one for one in scores if one is not None]
    items = list(dict.fromkeys(item for one in whole for item in one.item_ids))
    if len(whole) < len(found) or len(found) * len(items) > _MOST_ANSWERS:
        return None
    place = {item: i for i, item in enumerate(items)}
    answers = np.full((len(whole), len(items)), np.nan)
    for row, one in zip(answers, whole, strict=True):
        row[[place[item] for item in one.item_ids]] = one.values
    tasks = np.array([item.partition("/")[0] for item in items])
    parts = [answers[:, tasks == task] for task in np.unique(tasks)]
    if not all(np.isfinite(part).any(axis=1).all() for part in parts):
        return None
    means = np.stack([np.nanmean(part, axis=1) for part in parts], axis=1)
    values = np.array([[o.value for o in estimate.objectives] for estimate in found.values()])
    shares, _, rank, _ = np.linalg.lstsq(means, values, rcond=None)
    if rank < len(parts) or np.abs(means @ shares - values).max() > _ROUNDING:
        return None
    levels, own = (np.stack(column, axis=1) for column in zip(*map(on_all_items, parts), strict=True))
    return Errors(levels @ shares, own @ shares**2)


def _squares(found: Mapping[int, Estimate]) -> Floats:
    return np.array([[o.stderr**2 for o in estimate.objectives] for estimate in found.values()])


def own_share(scored: Sequence[ItemScores]) -> float:
    """Return which part of item scores' variance within a candidate is not common to all candidates, in (0, 1].

    All candidates answer the same items; that these happen to be easy lifts all of them and picks none. Two-way
    analysis of variance of candidates and items, by task, over those that answered the same items; 1 where none did.
    """
    by_items: dict[tuple[str, ...], list[Floats]] = defaultdict(list)
    for scores in scored:
        by_items[scores.item_ids].append(scores.values)
    own = total = 0.0
    for items, rows in by_items.items():
        tasks = np.array([item.partition("/")[0] for item in items])
        for task in np.unique(tasks):
            answers = np.array(rows)[:, tasks == task]
            n_models, n_items = answers.shape
            if n_models > 1 and n_items > 1:
                within = answers - answers.mean(axis=1, keepdims=True)
                total += float((within**2).sum()) * (n_models - 1) / n_models
                own += float(((within - within.mean(axis=0)) ** 2).sum())
    return float(np.clip(own / total, 1e-3, 1.0)) if total > 0.0 else 1.0


def _pooled(squares: Floats, found: Sequence[Estimate]) -> Floats:
    """Return (n, m) mean squares of those that rest on as many items: one candidate's own tells of its luck, too."""
    pooled = np.empty_like(squares)
    for k in range(squares.shape[1]):
        sizes = np.array([estimate.objectives[k].n_items for estimate in found])
        for size in np.unique(sizes):
            alike = sizes == size
            pooled[alike, k] = squares[alike, k].mean()
    return pooled


def _some_scores(archive: Archive, numbers: Sequence[int]) -> list[ItemScores]:
    """Return the item scores of up to `_MOST_READ` candidates, evenly over the search."""
    at = np.linspace(0, len(numbers) - 1, min(len(numbers), _MOST_READ)).astype(int)
    found = [archive.scores(numbers[i], "search") for i in at]
    return [scores for scores in found if scores is not None]
