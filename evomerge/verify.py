"""Held-out verification: is the winner real?

Optimisers see search items only. Here the best candidates of the search are scored on validation items, one winner is
picked there, and only then does anybody look at test items. The verdict is one paired comparison of that winner with
the best parent, so no correction for the number of candidates is needed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from evomerge.archive import Archive
from evomerge.candidate import Candidate, Failure
from evomerge.pareto import front
from evomerge.workers.protocol import WorkerPool
from fitness.protocols import Estimator
from fitness.scores import Budget, Estimate, ItemScores, ObjectiveEstimate, Split
from fitness.statistics import Difference

Compare = Callable[[ItemScores, ItemScores], Difference]
_LOG = logging.getLogger(__name__)


class VerificationError(RuntimeError):
    """There is nothing to verify, or a parent cannot be scored."""


@dataclass(frozen=True)
class Row:
    """One line of the held-out table.

    Attributes:
        name: a parent's name, `uniform mean`, `default TIES`, or `candidate N`.
        candidate: its number in the archive.
        objectives: on test items.
        mean: unweighted mean of the objectives.
        difference: of the means, paired by item, against the best parent; None for that parent itself.
    """

    name: str
    candidate: int
    kind: Literal["parent", "baseline", "winner"]
    objectives: tuple[ObjectiveEstimate, ...]
    mean: float
    difference: Difference | None


@dataclass(frozen=True)
class Verification:
    """The held-out table and what it says.

    Attributes:
        best_parent: the parent with the highest mean on test items.
        winner: the candidate that was picked on validation items.
        wins: whether the 95 % interval of the winner's difference to the best parent lies above 0.
        verdict: the same in words.
    """

    rows: tuple[Row, ...]
    best_parent: str
    winner: int
    wins: bool
    verdict: str

    def to_json(self) -> str:
        """Return JSON that `from_json` reads."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Verification:
        """Read what `to_json` wrote."""
        data = json.loads(text)
        rows = tuple(
            Row(
                row["name"],
                row["candidate"],
                row["kind"],
                tuple(ObjectiveEstimate(**o) for o in row["objectives"]),
                mean=row["mean"],
                difference=None if row["difference"] is None else Difference(**row["difference"]),
            )
            for row in data["rows"]
        )
        return Verification(rows, data["best_parent"], data["winner"], wins=data["wins"], verdict=data["verdict"])


def contenders(archive: Archive, top: int) -> list[Candidate]:
    """Return up to `top` proposals to verify: the front first, then the rest, each by the mean of the objectives.

    Raises:
        VerificationError: no proposal has been scored.
    """
    landmarks = {candidate.number for candidate in archive.landmarks()}
    scored = [r for r in archive.records("search") if r.estimate is not None and r.number not in landmarks]
    if not scored:
        raise VerificationError("expected scored candidates, found none; run the search first")
    estimates = [r.estimate for r in scored if r.estimate is not None]
    efficient = set(front(np.array([[o.value for o in e.objectives] for e in estimates])).tolist())
    ranked = sorted(range(len(scored)), key=lambda i: (i not in efficient, -estimates[i].mean, scored[i].number))
    chosen: dict[str, Candidate] = {}
    for i in ranked:
        candidate = archive.candidate(scored[i].number)
        chosen.setdefault(candidate.recipe.digest, candidate)
        if len(chosen) == top:
            break
    return list(chosen.values())


class Verifier:
    """Scores candidates on held-out items, once each: what the archive has is not scored again."""

    def __init__(self, archive: Archive, pool: WorkerPool, estimator: Estimator, compare: Compare) -> None:
        """Take the parts; `compare` gives the paired difference of two candidates' scores on the same items."""
        self._archive = archive
        self._pool = pool
        self._estimator = estimator
        self._compare = compare

    def verify(self, top: int, *, validation: bool, watch: Callable[[str], None] | None = None) -> Verification:
        """Pick a winner among the `top` contenders and test it; the result is noted in the archive.

        Args:
            top: how many contenders are scored.
            validation: whether the campaign has validation items; without them the search's best is the winner.
            watch: called with a line for each step.

        Raises:
            VerificationError: nothing to verify, or a parent or every contender fails on held-out items.
        """
        say = watch or _LOG.info
        candidates = contenders(self._archive, top)
        if validation:
            say(f"scoring {len(candidates)} candidates on validation items")
            chosen = self._score(candidates, "validation")
            candidates = [c for c in candidates if c.number in chosen]
            candidates.sort(key=lambda c: -self._estimator.estimate(chosen[c.number]).mean)
        landmarks = self._archive.landmarks()
        say(f"scoring parents, baselines and {len(candidates)} candidates on test items")
        scores = self._score([*landmarks, *candidates], "test")
        verification = self._table(landmarks, [c for c in candidates if c.number in scores], scores)
        self._archive.note("verification", verification.to_json())
        return verification

    def _score(self, candidates: Sequence[Candidate], split: Split) -> dict[int, ItemScores]:
        """Return the scores of those candidates that did not fail."""
        known = {c.number: self._archive.scores(c.number, split) for c in candidates}
        scores = {number: found for number, found in known.items() if found is not None}
        waiting = [c for c in candidates if c.number not in scores]
        running = 0
        while waiting or running:
            while waiting and self._pool.free > 0:
                self._pool.submit(waiting.pop(0), Budget(split))
                running += 1
            for done in self._pool.wait():
                running -= 1
                if isinstance(done, Failure):
                    _LOG.warning("candidate %d failed on %s items: %s", done.candidate.number, split, done.reason)
                    self._archive.told([(done, None)], split=split, kind="verified")
                else:
                    estimate = self._estimator.estimate(done.scores)
                    self._archive.told([(done, estimate)], split=split, kind="verified")
                    scores[done.candidate.number] = done.scores
        return scores

    def _table(
        self, landmarks: Sequence[Candidate], candidates: Sequence[Candidate], scores: dict[int, ItemScores]
    ) -> Verification:
        parents = [c for c in landmarks if c.label in c.recipe.parents]
        missing = [c.label for c in parents if c.number not in scores]
        if missing or not parents or not candidates:
            what = f"parents {missing}" if missing else ("every candidate" if parents else "all landmarks")
            raise VerificationError(f"cannot verify: {what} failed or were never scored on held-out items; see log.txt")
        estimates = {number: self._estimator.estimate(found) for number, found in scores.items()}
        best = max(parents, key=lambda c: estimates[c.number].mean)
        rows = [self._row(c, scores, estimates, best.number) for c in [*landmarks, *candidates] if c.number in scores]
        winner = candidates[0]
        verdict, wins = self._verdict(winner, best, landmarks, scores)
        return Verification(tuple(rows), str(best.label), winner.number, wins=wins, verdict=verdict)

    def _row(
        self, candidate: Candidate, scores: dict[int, ItemScores], estimates: dict[int, Estimate], best: int
    ) -> Row:
        number = candidate.number
        kind: Literal["parent", "baseline", "winner"] = "winner"
        if candidate.label is not None:
            kind = "parent" if candidate.label in candidate.recipe.parents else "baseline"
        return Row(
            candidate.label or f"candidate {number}",
            number,
            kind,
            estimates[number].objectives,
            mean=estimates[number].mean,
            difference=None if number == best else self._compare(scores[number], scores[best]),
        )

    def _verdict(
        self, winner: Candidate, best: Candidate, landmarks: Iterable[Candidate], scores: dict[int, ItemScores]
    ) -> tuple[str, bool]:
        mine = scores[winner.number]
        difference = self._compare(mine, scores[best.number])
        against = f"the best parent ({best.label}) by {_interval(difference)} on {len(mine.item_ids)} held-out items"
        if difference.low > 0:
            text = f"Candidate {winner.number} beats {against}."
        elif difference.high < 0:
            text = f"No candidate beats the best parent: candidate {winner.number} is worse than {against}."
        else:
            text = (
                f"No candidate is shown to beat the best parent: candidate {winner.number} differs from {against}, "
                "which may be chance."
            )
        baselines = [c for c in landmarks if c.label not in c.recipe.parents and c.number in scores]
        sides = [f"{c.label} {_interval(self._compare(mine, scores[c.number]))}" for c in baselines]
        return text + (f" Against {', '.join(sides)}." if sides else ""), difference.low > 0


def _interval(difference: Difference) -> str:
    return f"{difference.value:+.3f} (95 % interval {difference.low:+.3f} to {difference.high:+.3f})"
