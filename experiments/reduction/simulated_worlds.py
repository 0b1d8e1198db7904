"""The worlds of `simulated_campaigns`: what is true of their models, and on how many items it is to be found out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from experiments.reduction.simulated_answers import (
    RIGHT_OR_WRONG,
    Answers,
    graded,
    log_likelihoods,
    rarely_other,
    right_or_wrong,
)

Truth = tuple[float, ...]  # the score that is expected of a model in each objective


@dataclass(frozen=True)
class World:
    """What is true."""

    parents: tuple[Truth, ...]
    merges: Truth  # that no merge exceeds
    recipes: tuple[Truth, ...] = ()  # merges that cost no search
    spread: float = 0.0  # standard deviation of the half normal distribution of merges below theirs
    n_merges: int = 8
    answers: Answers = RIGHT_OR_WRONG
    validation: int = 60  # items of each objective; as many were searched on
    test: int = 300
    per_group: int = 1  # so many items in turn are told to belong together
    margin: float = 0.01  # what counts as just as good: evomerge's own default
    looks: int = 1  # verifications, each with a new winner


def _campaigns() -> dict[str, World]:
    """Return campaigns as they usually are: 3 parents, 2 recipes, 30 merges of two objectives."""
    usual = World((), (), n_merges=30, validation=120, test=360)
    equal, one, experts = ((0.5, 0.5),) * 3, ((0.6, 0.6), (0.3, 0.3), (0.3, 0.3)), ((0.7, 0.4), (0.4, 0.7), (0.5, 0.5))
    traded = replace(usual, parents=((0.68, 0.5), (0.5, 0.68), (0.3, 0.3)), test=1440, margin=0.05)
    return {
        "all models equally able": replace(usual, parents=equal, merges=(0.5, 0.5), recipes=((0.5, 0.5),) * 2),
        "merges equal to the one good parent": replace(
            usual, parents=one, merges=(0.6, 0.6), recipes=((0.6, 0.6), (0.5, 0.5))
        ),
        "two experts, merges a little worse": replace(
            usual, parents=experts, merges=(0.56, 0.56), recipes=((0.5, 0.5),) * 2, spread=0.03
        ),
        "hardly anything right": replace(
            usual, parents=((0.04, 0.04),) * 3, merges=(0.04, 0.04), recipes=((0.03, 0.03),) * 2
        ),
        "graded scores, no merge better": replace(
            usual, parents=equal, merges=(0.5, 0.5), recipes=((0.5, 0.5),) * 2, answers=graded
        ),
        "worse on one by the margin, better on the other": replace(traded, merges=(0.63, 0.56)),
        "merges a little better": replace(
            usual, parents=equal, merges=(0.58, 0.58), recipes=((0.5, 0.5),) * 2, spread=0.03
        ),
        "merges better": replace(usual, parents=experts, merges=(0.66, 0.66), recipes=((0.55, 0.55),) * 2, spread=0.03),
        "as good on one, a little better on the other": replace(traded, merges=(0.68, 0.54)),
        "merges better, a recipe as good": replace(
            usual, parents=experts, merges=(0.66, 0.66), recipes=((0.66, 0.66), (0.5, 0.5))
        ),
        "merges better, a recipe better by 2 points": replace(
            usual, parents=experts, merges=(0.66, 0.66), recipes=((0.68, 0.68), (0.5, 0.5))
        ),
    }


def _dominated() -> dict[str, World]:
    """Return worlds in which one parent, of 2 to 5, is better than all merges on both objectives."""
    worlds = {}
    for a, b, w in ((0.60, 0.68, 0.66), (0.60, 0.68, 0.67), (0.60, 0.65, 0.64)):
        for validation in (20, 60, 200):
            for test in (300, 1000):
                for n_parents in (2, 3, 4, 5) if (validation, test) == (20, 1000) else (2,):
                    parents = ((a, a),) * (n_parents - 1) + ((b, b),)
                    name = f"{n_parents} parents, {a:.2f} and {b:.2f}, merges {w:.2f}; {validation} and {test} items"
                    worlds[name] = World(parents, (w, w), n_merges=4, validation=validation, test=test)
    return worlds


def _traded() -> dict[str, World]:
    """Return worlds whose merges are as good as the best parent on the first objective, better on the second."""
    parents = ((0.7, 0.5), (0.45, 0.65))
    return {
        f"as good on one, better by {gain:g} on the other; {test} items": World(
            parents, (0.7, 0.5 + gain), test=test, margin=0.02
        )
        for gain in (0.05, 0.1)
        for test in (300, 1000)
    }


def _looked_at_often() -> dict[str, World]:
    """Return worlds without a better merge in which twenty winners are tested one after the other."""
    equal = World(((0.6,),), (0.6,), n_merges=20, looks=20)
    return {f"20 verifications on {n} items": replace(equal, test=n) for n in (100, 300)}


def _hard_on_intervals() -> dict[str, World]:
    """Return worlds of one objective whose scores are not what the usual intervals are made for."""
    few = World(((0.5,),), (0.5,), n_merges=1)
    worlds: dict[str, World] = {}
    nested, passages = right_or_wrong(alike=1.0), right_or_wrong(per_passage=5, of_passage=0.3)
    twice = right_or_wrong(per_passage=2, of_passage=1.0)
    for n in (20, 50, 100, 200):
        worlds |= {
            f"only gains, on 2 % of {n} items": replace(few, merges=(0.52,), answers=nested, test=n),
            f"only losses, on 2 % of {n} items": replace(few, merges=(0.48,), answers=nested, test=n),
            f".98 against .90 on {n} items": replace(few, parents=((0.9,),), merges=(0.98,), test=n),
            f".98 against .98 on {n} items": replace(few, parents=((0.98,),), merges=(0.98,), test=n),
            f"a little better, much worse on 3 % of {n} items": replace(few, answers=rarely_other(-0.3, 0.03), test=n),
            f"a little worse, much better on 3 % of {n} items": replace(few, answers=rarely_other(0.3, 0.03), test=n),
            f"graded scores of {n} items": replace(few, answers=graded, test=n),
            f"log-likelihoods of {n} items": replace(few, answers=log_likelihoods(long_tails=False), test=n),
        }
    for n in (50, 100, 500):
        worlds[f"{n} items, five on each passage"] = replace(few, answers=passages, test=n, per_group=5)
        worlds[f"{n} items, each asked twice"] = replace(few, answers=twice, test=n, per_group=2)
    return worlds


def _beyond_what_is_promised() -> dict[str, World]:
    """Return worlds that break what intervals assume."""
    few = World(((0.5,),), (0.5,), n_merges=1)
    passages = right_or_wrong(per_passage=5, of_passage=0.3)
    return {
        "log-likelihoods with long tails, 100 items": replace(few, answers=log_likelihoods(long_tails=True), test=100),
        "100 items, five on each passage, and nobody says so": replace(few, answers=passages, test=100),
    }


GROUPS: Mapping[str, Mapping[str, World]] = {
    "campaigns": _campaigns(),
    "a parent is better than all merges": _dominated(),
    "true trade-offs": _traded(),
    "looked at often": _looked_at_often(),
    "hard on intervals": _hard_on_intervals(),
    "beyond what is promised": _beyond_what_is_promised(),
}
