"""What `evomerge verify` found, as data, and what it says in words: table, report, card and JSON all draw on it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from functools import cache
from typing import Literal

from pydantic import TypeAdapter

from evomerge.errors import EvomergeError
from fitness.costs import Cost, in_unit, is_exact, shown
from fitness.scores import ObjectiveEstimate, Split
from fitness.statistics import Difference, Flips

Standing = Literal["better", "better_than_parents", "trade_off", "not_shown"]


class VerificationError(EvomergeError, RuntimeError):
    """There is nothing to verify, or a parent cannot be scored."""


@dataclass(frozen=True)
class Row:
    """One line of the held-out table."""

    name: str  # a parent's name, `uniform mean`, `default TIES`, or `candidate N`
    candidate: int  # its number in the archive
    kind: Literal["parent", "baseline", "winner"]
    objectives: tuple[ObjectiveEstimate, ...]  # on test items
    mean: float  # of the objectives, by their weights
    difference: Difference | None  # of the means, paired by item, against the best parent; None for that parent itself


@dataclass(frozen=True)
class Comparison:
    """A winner against one other model on test items, paired by item; each interval alone covers 95 %.

    The differences are of the means of the objectives, and of each of them in the campaign's order.
    """

    name: str
    kind: Literal["parent", "baseline"]
    mean: Difference
    objectives: tuple[Difference, ...]


@dataclass(frozen=True)
class FreshMasks:
    """A merge with random masks, made again with other seeds: how much of its score is the masks' luck.

    The means of the objectives on a split are with the recipe's `own` seed, and with those others that could be scored.
    """

    split: Split
    own: float
    seeds: tuple[int, ...]
    means: tuple[float, ...]


@dataclass(frozen=True)
class Bought:
    """What a search bought over a recipe that costs none, with the confidence that the winner's verdict has."""

    recipe: str  # `uniform mean`, `default TIES`, ...
    difference: Difference  # of the means on test items, paired by item
    confidence: float = 0.95  # of its interval


@dataclass(frozen=True)
class SearchScore:
    """The mean of a winner's objectives on search items."""

    observed: float
    expected: float  # the same, shrunk for having been picked among many (see `evomerge.results.selected`)


@dataclass(frozen=True)
class Winner:
    """A candidate that one or more picks chose on validation items, and what test items say of it."""

    candidate: int  # its number
    picks: tuple[str, ...]  # `best`, `knee`, `best:OBJECTIVE`
    objectives: tuple[str, ...]  # of the campaign
    # better than every parent and every recipe that costs no search; better than every parent; as good as the best
    # parent on all objectives, and better than every other on some; none of these
    standing: Standing
    verdict: str  # the same in words, with the interval that it rests on
    comparisons: tuple[Comparison, ...]  # with the best parent, then with the other parents and the baselines
    # the winner's curse: the mean that search items made expect minus that on test items; the interval is that of the
    # latter. None where it was not scored on search items.
    gap: Difference | None
    flips_against: str  # the model that flips are counted against: the base, or the best parent where there is no base
    flips: tuple[Flips, ...]  # per objective of right-or-wrong tasks
    masks: FreshMasks | None = None  # None where the recipe has no random masks
    searched: str = "full"  # what the score on search items rests on, in words
    bought: Bought | None = None  # over the best recipe that costs no search; None where there is none, or it is one
    # None where it was not scored on search items, or an earlier version tested it
    score: SearchScore | None = None
    split: Split = "test"  # that it was tested on
    costs: tuple[Cost | None, ...] = ()  # what each objective costs; empty in archives of earlier versions

    @property
    def wins(self) -> bool:
        """Whether it is shown to be better than every parent and every recipe that costs no search."""
        return self.standing == "better"

    @property
    def facts(self) -> tuple[str, ...]:
        """Lines that stand under the verdict: best parent by objective, baselines, winner's curse, flips, masks."""
        best, names, costs = self.comparisons[0], self.objectives, self.costs or (None,) * len(self.objectives)
        told = zip(names, best.objectives, costs, strict=True)
        by_objective = [f"{name} {interval(difference, cost=cost)}" for name, difference, cost in told]
        return (
            *([f"against the best parent ({best.name}): {', '.join(by_objective)}"] if len(names) > 1 else []),
            *(f"against {c.name}: {interval(c.mean)}" for c in self.comparisons if c.kind == "baseline"),
            *self.further_facts,
        )

    @property
    def further_facts(self) -> tuple[str, ...]:
        """Those that are no differences to other models: winner's curse, flips, masks."""
        searched = "search score" if self.searched == "full" else f"search score ({self.searched})"
        searched += "" if self.score is None else f" {self.score.observed:.3f}, expected {self.score.expected:.3f},"
        return (
            *(
                []
                if self.gap is None
                else [f"{searched} less {self.split} score (winner's curse): {interval(self.gap)}"]
            ),
            *(
                f"on {f.objective}, against {self.flips_against}: {f.gained} items gained, {f.lost} lost (negative "
                f"flips), of {f.n_items}"
                for f in self.flips
            ),
            *([] if self.masks is None else [_masks(self.masks)]),
        )


@dataclass(frozen=True)
class Dropped:
    """A pick that a verification does not offer."""

    pick: str  # `best:OBJECTIVE`, ...
    candidate: int  # that would have been picked
    why: str  # in words


@dataclass(frozen=True)
class Verification:
    """The held-out table and what it says."""

    rows: tuple[Row, ...]
    best_parent: str  # the parent with the highest mean on the items that winners were chosen on
    winner: int  # the candidate that `best` picked
    wins: bool  # whether it is shown to be better than every parent and every recipe that costs no search
    verdict: str  # of the winner, in words
    # every candidate that was picked, the winner first; empty in archives of earlier versions
    winners: tuple[Winner, ...] = ()
    chosen_on: Split = "validation"  # the split that winners and best parent were chosen on
    margin: float | None = None  # what counts as just as good in a trade-off
    number: int = 1  # how many verifications have tested candidates that none before them had, this one included
    dropped: tuple[Dropped, ...] = ()  # picks without a winner
    told: int | None = None  # how many candidates the search had been told then; None in archives of earlier versions
    # how many groups the test items form, which are counted as one; None where each stands alone
    n_groups: int | None = None
    split: Split = "test"  # that winners were tested on

    @property
    def standing(self) -> Standing:
        """The winner's."""
        if self.winners:
            return self.winners[0].standing
        return "better" if self.wins else "not_shown"

    def winner_of(self, candidate: int) -> Winner | None:
        """Return what is known of a picked candidate; None where it was not picked."""
        return next((winner for winner in self.winners if winner.candidate == candidate), None)

    def to_json(self) -> str:
        """Return JSON that `from_json` reads."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Verification:
        """Read what `to_json` wrote, in this version or an earlier one."""
        return _adapter().validate_json(text)


@cache
def _adapter() -> TypeAdapter[Verification]:
    return TypeAdapter(Verification)


def interval(difference: Difference, confidence: float = 0.95, *, cost: Cost | None = None) -> str:
    """Return a difference with its interval in words, of a cost in its unit: less of it is a gain."""
    # At least a decimal, and as many as the error takes: after many verifications no level may read 100 %.
    decimals = max(1, -math.floor(math.log10(100 * (1 - confidence))))
    level = f"{100 * confidence:.{decimals}f}".removesuffix(".0")
    if is_exact(cost):
        return in_unit(difference.value, cost, sign=True)
    ends = (difference.low, difference.high) if cost is None else (difference.high, difference.low)
    low, high = (shown(end, cost, sign=True) for end in ends)
    return f"{in_unit(difference.value, cost, sign=True)} ({level} % interval {low} to {high})"


def _masks(masks: FreshMasks) -> str:
    if not masks.means:
        return "with other random masks: could not be scored"
    low, high = min(masks.means), max(masks.means)
    return (
        f"with {len(masks.means)} other random masks: {low:.3f} to {high:.3f} on {masks.split} items, with its own, "
        f"which are exported, {masks.own:.3f}"
    )
