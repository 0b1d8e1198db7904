"""A strategy by the model that pools all candidates' answers over their genes; no answers are had beforehand.

Everybody answers `FIRST` items of their own, dealt out so that all items are answered about as often. Then, round by
round, the model (`fitness.estimation.pooled`) says what each candidate has on all items, what it answered as it
answered; draws from its posterior say who may be the best; and each of those drawn answers `STEP` items more, in one
order for all, so that those who may be the best meet on common items. The pick has the highest mean. Drawn are the best
and the second best by turns (top-two Thompson sampling: Russo, "Simple Bayesian Algorithms for Best-Arm
Identification", Operations Research 68, 2020). Once there are twice as many answers as at first, the `CONTENDERS` that
draws have among their best most often go on alone, which costs little and makes the fits cheap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from experiments.reduction.draws import Draw
from experiments.reduction.strategies import Pick
from fitness import ItemScores, Objective
from fitness.estimation.pooled import PooledResponses, Settings

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
FIRST, STEP, BATCH, CONTENDERS = 3, 16, 16, 64
N_DRAWS = 512
TOLERANCE, PICKS = 0.005, 4
RENEWED = 2.5  # times as many answers as when the model's settings were chosen: they are chosen anew


@dataclass(eq=False)
class Asked:
    """Who of a draw was asked what, and what the model makes of it.

    Attributes:
        points: (n_candidates, n_genes) genes in [0, 1]; NaN where a candidate has none.
        alive: candidates that are still looked at; moments are theirs.
    """

    draw: Draw
    points: Floats
    seed: int
    alive: Indices = field(init=False)
    _settings: tuple[Settings, ...] | None = None
    _chosen_at: int = 0  # answers when settings were chosen

    def __post_init__(self) -> None:
        self.alive = np.arange(len(self.draw.scores))
        self.shown = np.zeros(self.draw.scores.shape, dtype=bool)
        n_tasks = int(self.draw.task.max()) + 1
        self._objectives = [Objective(str(task), (str(task),)) for task in range(n_tasks)]
        self._task_of = {item: str(task) for item, task in zip(self.draw.items, self.draw.task.tolist(), strict=True)}
        self._deal()

    @property
    def evaluations(self) -> int:
        """How many answers were given."""
        return int(self.shown.sum())

    def ask(self, candidates: Sequence[int], n: int) -> None:
        """Let candidates answer n items each that they have not answered, the first of the draw's order."""
        for candidate in candidates:
            self.shown[candidate, np.flatnonzero(~self.shown[candidate])[:n]] = True

    def moments(self) -> tuple[Floats, Floats]:
        """Return (n_alive,) means of the macro-average on all items, and their (n_alive, n_alive) covariance."""
        draw, rounds = self.draw, 0
        if self.evaluations > RENEWED * self._chosen_at:
            rounds, self._chosen_at = (2 if self._settings is None else 1), self.evaluations
        answered = [(np.flatnonzero(self.shown[row]), draw.scores[row]) for row in self.alive]
        fitted = PooledResponses.fit(
            self.points[self.alive],
            [ItemScores(tuple(draw.items[i] for i in at), values[at]) for at, values in answered],
            self._objectives,
            items=draw.items,
            task_of=self._task_of,
            settings=self._settings,
            rounds=rounds,
        )
        self._settings, found = fitted.settings, fitted.candidates()
        return found.means.mean(axis=1), found.covariances.sum(axis=0) / found.means.shape[1] ** 2

    def _deal(self) -> None:
        """Let everybody answer the first items, of each task its share, each item about as often."""
        rng = np.random.default_rng([self.seed, 3])
        order, counts = rng.permutation(len(self.shown)), np.bincount(self.draw.task[:FIRST])
        for task, count in enumerate(counts.tolist()):
            items = rng.permutation(np.flatnonzero(self.draw.task == task))
            hands = np.arange(len(order))[:, None] * count + np.arange(count)
            self.shown[order[:, None], items[hands % len(items)]] = True


def allocation(draw: Draw, points: Floats, budgets: Sequence[int], *, seed: int) -> Iterator[Pick]:
    """Yield the pick after each budget of answers, ascending; none is overdrawn, if everybody's first answers fit."""
    asked, rng = Asked(draw, points, seed), np.random.default_rng([seed, 4])
    wide = 2 * asked.evaluations
    for budget in budgets:
        while True:
            means, covariance = asked.moments()
            left = budget - asked.evaluations
            if left < STEP or asked.shown[asked.alive].all():
                break
            drawn = _draws(means, covariance, rng)
            chosen = _contenders(drawn, int(means.argmax()), asked.shown[asked.alive], min(BATCH, left // STEP))
            asked.ask([int(asked.alive[one]) for one in chosen], STEP)
            if asked.evaluations >= wide and len(asked.alive) > CONTENDERS:
                places = np.argsort(np.argsort(-drawn, axis=1), axis=1)
                often = (places < CONTENDERS // 4).sum(axis=0)
                asked.alive = asked.alive[np.sort(np.argsort(-often, kind="stable")[:CONTENDERS])]
        yield Pick(int(asked.alive[means.argmax()]), asked.evaluations)


def _draws(means: Floats, covariance: Floats, rng: np.random.Generator) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(means + rng.standard_normal((N_DRAWS, len(means))) @ root.T)


def _contenders(drawn: Floats, pick: int, shown: NDArray[np.bool_], n: int) -> list[int]:
    """Return n times somebody who has items left: the best of draws where the pick is not good enough, or the pick."""
    left = np.asarray(~shown.all(axis=1))
    ahead = drawn.max(axis=1) - drawn[:, pick]
    order = np.argsort(ahead <= TOLERANCE, kind="stable")  # draws that the pick loses first, in the order drawn
    chosen: list[int] = []
    for turn, one in enumerate(order[:n].tolist()):
        ranked = np.argsort(-drawn[one], kind="stable")
        wanted = np.append(pick, ranked) if turn % PICKS == 0 else ranked
        able = wanted[left[wanted]]
        chosen.append(int(able[0]))
    return chosen
