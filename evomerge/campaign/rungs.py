"""Rungs (successive halving): after the first items of a generation its better part goes on, the others are told.

Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", AISTATS 2016. What is
decided depends on the scores alone, not on who finished first, and scores that wait are in the archive: a resumed
campaign decides alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from evomerge.archive import Archive
from evomerge.campaign.rivals import weighted_mean
from evomerge.candidate import Candidate, Done, Evaluation, Outcome, Scored
from evomerge.pareto import front
from fitness.scores import Budget, ItemScores


class Rungs:
    """Who of a generation waits at a rung, and who goes on from there.

    Args:
        archive: keeps the scores of those who wait.
        sizes: items after which a generation is cut, ascending, each below a candidate's number; empty for no rungs.
        keep: share of a generation that goes on from a rung, in (0, 1].
        weights: objective name -> weight, where their weighted mean is maximised; None: a search of the front.
    """

    def __init__(
        self,
        archive: Archive,
        sizes: Sequence[int] = (),
        *,
        keep: float = 0.5,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self._archive = archive
        self._sizes = tuple(sizes)
        self._keep = keep
        self._weights = weights
        self._generation: int | None = None
        self._rung = 0  # which one the generation is on its way to
        self._told = 0  # members of the generation that were told
        self._held: dict[int, Scored] = {}

    def enter(self, generation: int | None) -> None:
        """Begin anew where candidates of another generation are asked."""
        if generation != self._generation:
            self._generation, self._rung, self._told = generation, 0, 0

    def recover(self, pending: Mapping[int, Candidate]) -> None:
        """Take up the scores with which pending candidates waited when the campaign ended."""
        if self._sizes and pending:
            for number, record in self._archive.held().items():
                if number in pending and record.scores is not None:
                    self._held[number] = Scored(pending[number], record.scores, record.seconds)

    def budget(self, candidate: Candidate, whole: Budget) -> Budget:
        """Return a candidate's next items: up to the next rung, without those that it has answered."""
        if not self._sizes or candidate.proposal is None:
            return whole
        held = self._held.get(candidate.number)
        items = whole.items or ()
        upto = self._sizes[self._rung] if self._rung < len(self._sizes) else len(items)
        return replace(whole, items=items[:upto], known=None if held is None else held.scores)

    def hold(self, arrived: Sequence[Done]) -> list[Done]:
        """Keep those that come to a rung; return the others, who are to be told."""
        done, held = [], []
        for one in map(self._with_all_seconds, arrived):
            if isinstance(one, Scored) and one.lost is None and self._is_at_a_rung(one):
                held.append(one)
            else:
                done.append(one)
        if held:
            self._archive.told([(scored, None) for scored in held], kind="held")
        self._held |= {scored.candidate.number: scored for scored in held}
        return done

    def waits(self, number: int) -> bool:
        """Return whether a candidate waits for the others of its generation."""
        if number not in self._held or self._rung == len(self._sizes):
            return False
        return len(self._held[number].scores.item_ids) >= self._sizes[self._rung]

    def waiting(self) -> list[Scored]:
        """Return what those who wait have answered up to the rung."""
        size = self._sizes[self._rung]
        return [
            replace(held, scores=ItemScores(held.scores.item_ids[:size], held.scores.values[:size]))
            for _, held in sorted(self._held.items())
        ]

    def cut(self, evaluations: Sequence[Evaluation]) -> list[int]:
        """Return the places of those that do not go on; ask when the whole generation waits.

        Args:
            evaluations: of `waiting()`, on the same items.
        """
        n_keep = math.ceil(self._keep ** (self._rung + 1) * (self._told + len(evaluations)))
        dropped = self._order(evaluations)[max(1, n_keep) :]
        if not dropped:
            self._rung += 1  # else when they are told
        return sorted(dropped)

    def shortfall(self, behind: float) -> float:
        """Return what ranks a candidate that is stopped now: how many rungs it did not pass, then what it is behind.

        Args:
            behind: by how much it is behind whom it was compared with; any number before a rung, above 0 after all.
        """
        missed = len(self._sizes) - self._rung
        return missed + 0.5 * (1.0 + behind / (1.0 + abs(behind))) if missed else behind

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        """Take in what the campaign was told."""
        proposed = [outcome for outcome in outcomes if outcome.candidate.proposal is not None]
        self._told += len(proposed)
        for outcome in proposed:
            self._held.pop(outcome.candidate.number, None)
        if any(
            isinstance(o, Evaluation) and o.estimate.stopped and o.estimate.stopped.reason == "rung" for o in proposed
        ):
            self._rung += 1

    def _order(self, evaluations: Sequence[Evaluation]) -> list[int]:
        """Return the places, best first: what is missed of constraints, then the mean, before it the front's rank."""
        means = [self._mean(evaluation) for evaluation in evaluations]
        ranks = [0] * len(evaluations) if self._weights is not None else _front_ranks(evaluations)
        return sorted(range(len(evaluations)), key=lambda i: (evaluations[i].violation, ranks[i], -means[i], i))

    def _mean(self, evaluation: Evaluation) -> float:
        if self._weights is None:
            return evaluation.estimate.mean
        return weighted_mean(evaluation.estimate, self._weights)

    def _is_at_a_rung(self, scored: Scored) -> bool:
        sizes = self._sizes[self._rung :]
        return scored.candidate.proposal is not None and len(scored.scores.item_ids) in sizes

    def _with_all_seconds(self, done: Done) -> Done:
        held = self._held.get(done.candidate.number)
        return done if held is None else replace(done, seconds=done.seconds + held.seconds)


def _front_ranks(evaluations: Sequence[Evaluation]) -> list[int]:
    """Return which front each is on, 0 for the first (nondominated sorting)."""
    values = np.array([[o.value for o in evaluation.estimate.objectives] for evaluation in evaluations])
    ranks = np.full(len(values), -1)
    while (left := np.flatnonzero(ranks < 0)).size:
        ranks[left[front(values[left])]] = ranks.max() + 1
    return [int(rank) for rank in ranks]
