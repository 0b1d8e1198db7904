"""The pooled model's face: fitted to candidates' item scores, it says what each objective is on all items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fitness.errors import FitnessError
from fitness.estimation.objectives import Objective, TaskLayout
from fitness.estimation.pooled.answers import Answers
from fitness.estimation.pooled.group import FittedGroup
from fitness.estimation.pooled.paths import Paths, draw_paths
from fitness.estimation.pooled.settings import Settings
from fitness.scores import ItemScores
from fitness.signals import signal_of
from fitness.typing import Floats, Ints

MOST_TASKS = 8  # that have abilities of their own; with more, those of an objective share one
FIRST_ROUNDS = 2  # of choosing settings, where no earlier ones are known


@dataclass(frozen=True, eq=False)
class Prediction:
    """What is known of m candidates' or places' objectives, each the mean over all known items.

    Attributes:
        means: (m, n_objectives), higher is better.
        covariances: (n_objectives, m, m); objectives count as independent of one another.
    """

    means: Floats
    covariances: Floats

    @property
    def stderrs(self) -> Floats:
        """Return the (m, n_objectives) standard errors."""
        return np.sqrt(np.maximum(np.diagonal(self.covariances, axis1=1, axis2=2).T, 0.0))


@dataclass(frozen=True, eq=False)
class PooledResponses:
    """A response model of all candidates; see the package's docstring.

    >>> rng = np.random.default_rng(0)
    >>> genes = rng.random((40, 1))
    >>> items = [f"words/{j}" for j in range(60)]
    >>> def answers(gene):  # everybody answers twelve items of their own
    ...     own = rng.permutation(60)[:12]
    ...     right = rng.random(12) < 1 / (1 + np.exp(-4 * (gene[0] - 0.5) - np.linspace(-1, 1, 60)[own]))
    ...     return ItemScores(tuple(items[j] for j in own), right)
    >>> model = PooledResponses.fit(
    ...     genes, [answers(gene) for gene in genes], [Objective("words", ("words",))],
    ...     items=items, task_of=dict.fromkeys(items, "words"),
    ... )
    >>> bool(np.all(np.diff(model.objectives([[0.1], [0.5], [0.9]]).means[:, 0]) > 0.1))
    True

    Attributes:
        item_ids: (n_items,) of all known items, in the order that `easiness` has.
        settings: of each set of tasks; a later fit may begin there.
    """

    item_ids: tuple[str, ...]
    _groups: tuple[FittedGroup, ...]
    _weights: tuple[Floats, ...]  # per group (n_objectives, its items)
    _members: tuple[Ints, ...]  # per group its items

    @classmethod
    def fit(
        cls,
        points: ArrayLike,
        scores: Sequence[ItemScores],
        objectives: Sequence[Objective],
        *,
        items: Sequence[str],
        task_of: Mapping[str, str],
        settings: Sequence[Settings] | None = None,
        rounds: int | None = None,
    ) -> PooledResponses:
        """Fit the model to what candidates answered.

        Args:
            points: (n, d) genes in [0, 1]; NaN in a row: a candidate outside of the space, which tells of items only.
            scores: of the n candidates, each on at least one of the items; of others the answers' signals count
                (`fitness.signals`), where there are some, and nothing else.
            objectives: in the campaign's order.
            items: all those that an objective is the mean over, answered or not.
            task_of: item -> task.
            settings: of an earlier fit with the same objectives; None: the priors.
            rounds: of choosing settings; 0: those given are kept. Left out: 2 without settings, else 1.

        Raises:
            FitnessError: shapes that do not fit together, an objective without items, or nothing answered.
        """
        genes = np.asarray(points, dtype=np.float64)
        if genes.ndim != 2 or len(genes) != len(scores) or not len(scores):
            raise FitnessError(f"points: expected ({len(scores)}, genes), one row per candidate, found {genes.shape}")
        layout = TaskLayout.of(items, objectives, task_of)
        members = _groups(layout)
        if settings is not None and len(settings) != len(members):
            raise FitnessError(f"settings: expected those of {len(members)} sets of tasks, found {len(settings)}")
        n_rounds = (FIRST_ROUNDS if settings is None else 1) if rounds is None else rounds
        of_signals = [signal_of(item, task_of[item]) for item in items]
        groups = tuple(
            FittedGroup.fit(
                genes,
                _answers(items, chosen, scores),
                _answers(of_signals, chosen, scores),
                None if settings is None else settings[k],
                n_rounds,
            )
            for k, chosen in enumerate(members)
        )
        weights = layout.weights / layout.n_items
        shares = tuple(weights[:, layout.task_index[chosen]] for chosen in members)
        return cls(tuple(items), groups, shares, tuple(members))

    @property
    def settings(self) -> tuple[Settings, ...]:
        """Return what was chosen for each set of tasks."""
        return tuple(group.settings for group in self._groups)

    def objectives(self, points: ArrayLike) -> Prediction:
        """Return what merges at (m, d) points reach on all items, as far as their genes say it."""
        places = np.asarray(points, dtype=np.float64)
        parts = [[group.objective(group.at(places), w, joint=True) for w in rows] for group, rows in self._parts]
        return _summed(parts)

    def marginals(self, points: ArrayLike) -> tuple[Floats, Floats]:
        """Return (m, n_objectives) means and variances, as `objectives` does, of many points."""
        places = np.asarray(points, dtype=np.float64)
        parts = []
        for group, rows in self._parts:
            abilities = group.at(places)
            parts.append([group.objective(abilities, w, joint=False) for w in rows])
        found = _summed(parts)
        return found.means, found.covariances.T

    def candidates(self) -> Prediction:
        """Return what each of the n candidates reaches on all items: those it answered as answered, the rest expected.

        Its own answers tell of it beside its genes. The error is against its mean over the known items; it is 0 for one
        that answered them all.
        """
        return _summed([[group.answered(w) for w in rows] for group, rows in self._parts])

    def paths(self, n_draws: int, rng: np.random.Generator) -> tuple[Paths, ...]:
        """Return draws from the posterior as functions of the genes, one part for each set of tasks.

        An objective is the sum of its values over all parts.
        """
        return tuple(draw_paths(group, rows, n_draws, rng) for group, rows in self._parts)

    @property
    def easiness(self) -> tuple[Floats, Floats]:
        """Return means and standard deviations of the items' easiness, in logits; (n_items,), 0 on average a priori."""
        mean, deviation = np.zeros(len(self.item_ids)), np.zeros(len(self.item_ids))
        for group, members in zip(self._groups, self._members, strict=True):
            mean[members] = group.mode.easiness
            deviation[members] = np.sqrt(group.easiness_variances)
        return mean, deviation

    @property
    def _parts(self) -> list[tuple[FittedGroup, Floats]]:
        return list(zip(self._groups, self._weights, strict=True))


def _summed(parts: Sequence[Sequence[tuple[Floats, Floats]]]) -> Prediction:
    """Return sums over sets of tasks, of each objective's part in it."""
    means = sum(np.stack([mean for mean, _ in one]) for one in parts)
    spreads = sum(np.stack([spread for _, spread in one]) for one in parts)
    return Prediction(np.asarray(means).T, np.asarray(spreads))


def _groups(layout: TaskLayout) -> list[Ints]:
    """Return the items of each task; where tasks are many, those of tasks that the same objectives have together."""
    by_objectives = [tuple(np.flatnonzero(column).tolist()) for column in layout.weights.T]
    sets = list(dict.fromkeys(by_objectives))
    of_task = [sets.index(one) for one in by_objectives]
    if len(of_task) <= MOST_TASKS:
        of_task = list(range(len(of_task)))
    of_item = np.append(of_task, -1)[layout.task_index]  # the last: of tasks that no objective has
    return [np.flatnonzero(of_item == k) for k in range(max(of_task) + 1)]


def _answers(items: Sequence[str], chosen: Ints, scores: Sequence[ItemScores]) -> Answers:
    """Return what the candidates answered to the chosen items."""
    place = {items[j]: k for k, j in enumerate(chosen)}
    told = [
        (i, place[item], value)
        for i, one in enumerate(scores)
        for item, value in zip(one.item_ids, one.values.tolist(), strict=True)
        if item in place
    ]
    rows = np.array(told, dtype=np.float64).reshape(len(told), 3)
    return Answers(rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64), rows[:, 2], len(scores), len(chosen))
