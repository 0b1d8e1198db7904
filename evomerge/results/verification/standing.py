"""Where a winner stands against parents and free recipes on test items: what is shown, and in which words.

Every claim is a statement on intervals that cover together, at the error that `looks` leaves to this winner; half of it
is spent at either side. Of all winners of all verifications of an archive, any is falsely called

- better than every parent in at most 2.5 %. All parents must be beaten, so it needs no further correction for their
  number, nor for which of them is the best (intersection-union test; Berger 1982, Technometrics 24, 295-300);
- a trade-off in at most a further 2.5 %: of EVERY parent the winner must be shown better on some objective (of m
  objectives one at least, each at 1/m of the error; intersection-union over the parents), so that none of them is
  better all round, and on no objective worse than the best parent by the margin.

The best parent must not have been chosen on the items that it is compared on.

Recipes that cost no search (uniform mean, default TIES, ...) are rivals as well, at the same error. A winner is
`better` if it is shown to be better than each of them, too, else `better_than_parents`; a trade-off if it is shown to
be better than each on some objective, else the words alone say what it trades. (A value above theirs would not do: in
simulations a fifth of the winners that a recipe beats by two points have one.) Objectives of weight 0 decide nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evomerge.results.verification.result import Bought, Standing, interval
from fitness.costs import COSTS
from fitness.scores import ItemScores, Split, mean_weights
from fitness.statistics import Difference, PairedComparison


@dataclass(frozen=True)
class Rivals:
    """What a winner is compared with: scores on the same items, by name."""

    parents: Mapping[str, ItemScores]  # at least one
    recipes: Mapping[str, ItemScores]  # merges that cost no search
    best_parent: str  # chosen on other items
    split: Split = "test"  # that the items are of
    is_recipe: bool = False  # whether the winner costs no search itself


@dataclass(frozen=True)
class Claim:
    """What is said of a winner."""

    standing: Standing
    words: str  # the end of a sentence that begins with its name
    # what the search bought over recipes that cost none; None where there are none, or the winner is one
    bought: Bought | None


def standing(
    scores: ItemScores, rivals: Rivals, *, comparison: PairedComparison, error: float, margin: float, allowing: str = ""
) -> Claim:
    """Return what may be said of a winner by its scores on test items.

    `error` is that of all claims about it, in (0, 1); `margin` a difference that does not matter, at least 0;
    `allowing` says in words why the error is smaller than 5 %.
    """
    confidence = 1 - error
    nearest, difference = _nearest(scores, rivals.parents, comparison, confidence)
    items = comparison.counting(scores.item_ids)
    n_items, n_groups = len(items), comparison.n_groups(items)
    grouped = f" ({n_groups} groups)" if n_groups < n_items else ""
    words = f"{interval(difference, confidence)} on {n_items} {rivals.split} items{grouped}"
    every = f"every parent{_in_the_mean(comparison)}"
    best = _bought(scores, rivals.recipes, comparison, confidence)
    over, bought = _over(best, rivals), None if rivals.is_recipe else best
    if difference.low > 0:
        closest = f"the nearest is {nearest}, by" if len(rivals.parents) > 1 else "by"
        price = _price(scores, rivals, comparison, confidence)
        better = best is None or best.difference.low > 0
        claim = f"is better than {every}: {closest} {words}{allowing}.{over}{price}"
        return Claim("better" if better else "better_than_parents", claim, bought)
    traded = _trade_off(scores, rivals, comparison, confidence, margin)
    if traded is not None:
        claim = f"{traded}. It is not shown to be better than {every} ({nearest}: {words}{allowing}).{over}"
        free = _unbeaten(scores, rivals.recipes, comparison, confidence)
        but = f" On no objective it is shown to be better than {_listed(free)}." if free else ""
        return Claim("not_shown" if free else "trade_off", f"{claim}{but}", bought)
    if difference.high < 0:
        claim = f"is not better than {every}: it is worse than {nearest}, {words}{allowing}.{over}"
        return Claim("not_shown", claim, bought)
    claim = f"is not shown to be better than {every}: it differs from {nearest} by {words}{allowing}"
    return Claim("not_shown", f"{claim}, which may be chance.{over}", bought)


def _in_the_mean(comparison: PairedComparison) -> str:
    objectives = comparison.objectives
    if len(objectives) == 1:
        return ""
    weights = mean_weights([objective.weight for objective in objectives])
    counting = [objective.name for objective, weight in zip(objectives, weights, strict=True) if weight]
    if len(counting) == 1 and any(objective.cost for objective in objectives):
        return f" on {counting[0]}"
    return f" in the {'weighted ' if len(set(weights)) > 1 else ''}mean of the objectives"


def _nearest(
    scores: ItemScores, others: Mapping[str, ItemScores], comparison: PairedComparison, confidence: float
) -> tuple[str, Difference]:
    """Return who is the least surely worse, and the difference to it."""
    differences = {name: comparison.of_means(scores, other, confidence) for name, other in others.items()}
    nearest = min(differences, key=lambda name: differences[name].low)
    return nearest, differences[nearest]


def _bought(
    scores: ItemScores, recipes: Mapping[str, ItemScores], comparison: PairedComparison, confidence: float
) -> Bought | None:
    """Return the difference to the recipe that stands above, else to the one that is the least surely below."""
    if not recipes:
        return None
    differences = {name: comparison.of_means(scores, other, confidence) for name, other in recipes.items()}
    name = min(differences, key=lambda name: (min(differences[name].value, 0.0), differences[name].low))
    return Bought(name, differences[name], confidence)


def _over(bought: Bought | None, rivals: Rivals) -> str:
    if bought is None:
        return " It costs no search itself." if rivals.is_recipe else ""
    difference = interval(bought.difference, bought.confidence)
    chance = "" if bought.difference.low > 0 else ", which may be chance"
    well = "better" if bought.difference.high < 0 else "as well"
    if rivals.is_recipe:
        as_well = f"{bought.recipe} does {well}: {difference}"
        over = f"over the best other recipe without search ({bought.recipe}) it gains {difference}{chance}"
        return f" It costs no search itself; {as_well if bought.difference.value <= 0 else over}."
    if bought.difference.value <= 0:
        return f" The recipe {bought.recipe}, which costs no search, does {well}: {difference}."
    return f" Over the best recipe without search ({bought.recipe}) it gains {difference}{chance}."


def _price(scores: ItemScores, rivals: Rivals, comparison: PairedComparison, confidence: float) -> str:
    parent = rivals.best_parent
    by_objective = comparison.of_objectives(scores, rivals.parents[parent], confidence)
    worse = [o.name for o, d in zip(comparison.objectives, by_objective, strict=True) if d.high < 0]
    return f" It is worse than the best parent ({parent}) on {_listed(worse)}." if worse else ""


def _trade_off(
    scores: ItemScores, rivals: Rivals, comparison: PairedComparison, confidence: float, margin: float
) -> str | None:
    """Return the claim; None where it is not shown with a confidence, to within a margin."""
    if _unbeaten(scores, rivals.parents, comparison, confidence):
        return None
    parent = rivals.best_parent
    comparison = comparison.of_those_that_count()
    just_as_good = comparison.of_objectives(scores, rivals.parents[parent], confidence)
    margins = _margins(rivals.parents[parent], comparison, margin)
    if any(difference.low <= -least for difference, least in zip(just_as_good, margins, strict=True)):
        return None
    names = [objective.name for objective in comparison.objectives]
    strict = 1 - (1 - confidence) / len(names)
    against = dict(zip(names, comparison.of_objectives(scores, rivals.parents[parent], strict), strict=True))
    costs = {objective.name: objective.cost for objective in comparison.objectives}
    better = [name for name in names if against[name].low > 0]
    gains = _listed([f"{name}, by {interval(against[name], strict, cost=costs[name])}" for name in better])
    same = [name for name in names if name not in better]
    if not same:
        return f"is better than the best parent ({parent}) on every objective: {gains}"
    least = dict(zip(names, margins, strict=True))
    if {least[name] for name in same} == {margin}:
        alike = f"{_listed(same)}, to within {margin:g}"
    else:
        units = {name: "" if cost is None else f" {COSTS[cost].unit}" for name, cost in costs.items()}
        alike = _listed([f"{name} (to within {least[name]:.3g}{units[name]})" for name in same])
    return f"is as good as the best parent ({parent}) on {alike}, and better on {gains}"


def _margins(parent: ItemScores, comparison: PairedComparison, margin: float) -> list[float]:
    """Return the difference on each objective that does not matter: of a cost a share of what the parent costs."""
    found = []
    for objective in comparison.objectives:
        share = 1.0 if objective.cost is None else abs(comparison.of_only(objective.name).mean(parent).value)
        found.append(margin * share if objective.margin is None else objective.margin)
    return found


def _unbeaten(
    scores: ItemScores, others: Mapping[str, ItemScores], comparison: PairedComparison, confidence: float
) -> list[str]:
    """Return those that the scores are not shown to be better than on any of several objectives that count."""
    comparison = comparison.of_those_that_count()
    strict = 1 - (1 - confidence) / len(comparison.objectives)
    return [
        name
        for name, other in others.items()
        if len(comparison.objectives) == 1 or all(d.low <= 0 for d in comparison.of_objectives(scores, other, strict))
    ]


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
