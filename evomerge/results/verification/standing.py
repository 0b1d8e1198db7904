"""Where a winner stands against the parents on test items: what is shown, and in which words.

Every claim is a statement on intervals that cover together. With F winners each of them is given 1/F of the error of
5 % (Bonferroni), split evenly over both sides, so that of all winners any is falsely called

- better than every parent in at most 2.5 % of verifications. All parents must be beaten, so it needs no further
  correction for their number, nor for which of them is the best (intersection-union test; Berger 1982, Technometrics
  24, 295-300);
- as good as the best parent on some objectives and better on others in at most a further 2.5 %. No objective may be
  worse by the margin (intersection-union again), and of the m objectives one at least must be better, each at 1/m of
  the error.

The best parent must not have been chosen on the items that it is compared on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evomerge.results.verification.result import Standing, interval
from fitness.scores import ItemScores
from fitness.statistics import PairedComparison

ERROR = 0.05


def standing(
    scores: ItemScores,
    parents: Mapping[str, ItemScores],
    *,
    best_parent: str,
    comparison: PairedComparison,
    n_winners: int,
    margin: float,
) -> tuple[Standing, str]:
    """Return where a winner stands by its scores on test items, and the end of a sentence that begins with its name.

    `parents` have scores on the same items; `margin` is a difference that does not matter, at least 0.
    """
    confidence = 1 - ERROR / n_winners
    differences = {name: comparison.of_means(scores, other, confidence) for name, other in parents.items()}
    nearest = min(differences, key=lambda name: differences[name].low)
    words = f"{interval(differences[nearest], confidence)} on {len(scores.item_ids)} test items"
    words += f", allowing for {n_winners} winners" if n_winners > 1 else ""
    every = "every parent" + (" in the mean of the objectives" if len(comparison.objectives) > 1 else "")
    if differences[nearest].low > 0:
        closest = f"the nearest is {nearest}, by" if len(parents) > 1 else "by"
        by_objective = comparison.of_objectives(scores, parents[best_parent], confidence)
        worse = [o.name for o, d in zip(comparison.objectives, by_objective, strict=True) if d.high < 0]
        price = f" It is worse than the best parent ({best_parent}) on {_listed(worse)}." if worse else ""
        return "better", f"is better than {every}: {closest} {words}.{price}"
    traded = _trade_off(scores, parents[best_parent], best_parent, comparison, (confidence, margin))
    if traded is not None:
        return "trade_off", f"{traded}. It is not shown to be better than {every} ({nearest}: {words})."
    if differences[nearest].high < 0:
        return "not_shown", f"is not better than {every}: it is worse than {nearest}, {words}."
    return (
        "not_shown",
        f"is not shown to be better than {every}: it differs from {nearest} by {words}, which may be chance.",
    )


def _trade_off(
    scores: ItemScores, parent: ItemScores, best_parent: str, comparison: PairedComparison, given: tuple[float, float]
) -> str | None:
    """Return the claim; None where it is not shown with a confidence, to within a margin."""
    confidence, margin = given
    names = [objective.name for objective in comparison.objectives]
    if len(names) == 1:
        return None
    strict = 1 - (1 - confidence) / len(names)
    differences = dict(zip(names, comparison.of_objectives(scores, parent, strict), strict=True))
    better = [name for name in names if differences[name].low > 0]
    just_as_good = comparison.of_objectives(scores, parent, confidence)
    if not better or min(difference.low for difference in just_as_good) <= -margin:
        return None
    gains = _listed([f"{name}, by {interval(differences[name], strict)}" for name in better])
    same = [name for name in names if name not in better]
    if not same:
        return f"is better than the best parent ({best_parent}) on every objective: {gains}"
    return (
        f"is as good as the best parent ({best_parent}) on {_listed(same)}, to within {margin:g}, and better on {gains}"
    )


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
