"""Objectives on all search items, estimated from a few of them by a reduced benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fitness.errors import FitnessError
from fitness.estimation.item_response import Respondent, Seen
from fitness.estimation.objectives import MeanEstimator, Objective, check_objectives
from fitness.estimation.task_estimates import Answers, Estimator
from fitness.protocols import Shares
from fitness.reduction.calibration import NORMAL_95
from fitness.reduction.reduced_benchmark import ReducedBenchmark
from fitness.scores import Estimate, ItemScores, ObjectiveEstimate
from fitness.splits import Splits


class ReducedEstimator:
    """Estimates each objective on all search items from whichever of them were scored; implements `Estimator`.

    All search items, and items of other splits, give the plain mean. The standard error has two parts: how far the
    estimate may be from the mean over all search items, scaled as the calibration says, and how far that mean may be
    from the one over all such items there could be, as for a full score. The first is at least what one item decides;
    of other items than the benchmark's own, fewer of them for example, it is at least that of a random sample.

    Args:
        benchmark: fits the campaign (`ReducedBenchmark.check_fits`).
        objectives: in the campaign's order.
        estimator: None: the one that the calibration chose, but p-IRT instead of anchors where not all anchors, or
            other items, were answered.
        task_of: item id -> task name.
        splits: the campaign's.

    Raises:
        FitnessError: the objectives are not well formed or not the benchmark's, or the estimator needs endpoints that
            it does not have.
    """

    def __init__(
        self,
        benchmark: ReducedBenchmark,
        objectives: Sequence[Objective],
        *,
        estimator: Estimator | None = None,
        task_of: Mapping[str, str],
        splits: Splits,
    ) -> None:
        self._mean = MeanEstimator(objectives, task_of=task_of, splits=splits)
        self._benchmark, self._objectives, self._splits = benchmark, tuple(objectives), splits
        self._estimator = estimator or benchmark.estimator
        # A part of the anchors stands for a part of the items only.
        by_model = estimator is None and self._estimator == "anchor" and "p-irt" in benchmark.bank.estimators
        self._of_others: Estimator = "p-irt" if by_model else self._estimator
        if self._estimator not in benchmark.bank.estimators:
            known = ", ".join(benchmark.bank.estimators)
            raise FitnessError(
                f"reduced.estimator: expected one of {known}, found {self._estimator!r}, which needs the abilities of "
                "two or more parents: reduce again with the parents among the models"
            )
        self._task = {task.name: t for t, task in enumerate(benchmark.bank.tasks)}
        check_objectives(objectives, list(self._task))
        scales = benchmark.calibration.scales
        if unknown := [o.name for o in objectives if o.name not in scales]:
            raise FitnessError(
                f"reduced: expected the objectives {', '.join(scales)}, found {unknown[0]!r}: reduce again"
            )
        self._place = {item: i for i, item in enumerate(benchmark.items)}
        self._anchors = {self._place[item] for item in benchmark.anchors}
        self._task_of_item = {int(i): t for t, task in enumerate(benchmark.bank.tasks) for i in task.items}

    def estimate(self, scores: ItemScores, *, shares: Shares | None = None) -> Estimate:
        """Return every objective with its standard error (see `Estimator.estimate`).

        Scores are of any search items, at least one of every task, or of items of another split.
        """
        split = self._splits.split_of(scores.item_ids)
        if split != "search" or len(scores.item_ids) == len(self._benchmark.items):
            return self._mean.estimate(scores)
        seen = self._seen(scores)
        bank = self._benchmark.bank
        known = shares() if shares is not None and bank.knows_shares else None
        respondent = Respondent(bank, seen, known)
        return Estimate(split, tuple(self._objective(objective, respondent, seen) for objective in self._objectives))

    def _seen(self, scores: ItemScores) -> list[Seen]:
        items = np.array([self._place[item] for item in scores.item_ids], dtype=np.intp)
        tasks = np.array([self._task_of_item[int(item)] for item in items])
        anchors = self._benchmark.anchors
        known = all(item in anchors for item in scores.item_ids)
        weights = np.array([anchors[item] if known else 1.0 for item in scores.item_ids])
        found = []
        for t, task in enumerate(self._benchmark.bank.tasks):
            chosen = tasks == t
            if not chosen.any():
                raise FitnessError(f"items: expected at least one of task {task.name!r}, found none")
            found.append(Seen(items[chosen], scores.values[chosen], weights[chosen]))
        return found

    def _objective(self, objective: Objective, respondent: Respondent, seen: Sequence[Seen]) -> ObjectiveEstimate:
        replayed = {int(i) for each in seen for i in each.items} == self._anchors
        tasks, name = [self._task[task] for task in objective.tasks], self._estimator if replayed else self._of_others
        share = 1.0 / len(tasks)
        parts = [respondent.estimate(t, name) for t in tasks]
        value = share * sum(part.value for part in parts)
        variance = share**2 * sum(part.variance for part in parts)
        scales = self._benchmark.calibration.scales[objective.name]
        # What fell back to the mean errs as the mean does.
        back = name != "anchor" and all(respondent.falls_back(t, name) for t in tasks)
        error = scales["mean" if back else name].stderr(variance, replayed=replayed)
        answers = [Answers(seen[t].scores, seen[t].weights, len(self._benchmark.bank.tasks[t].items)) for t in tasks]
        of_all = share**2 * sum(of_task.item_variance / of_task.n_all for of_task in answers)
        n_items = sum(len(seen[t].items) for t in tasks)
        # Known models may agree on everything: no error was seen then, and one item may still be another.
        one_item = share / max(of_task.n_all for of_task in answers)
        stderr = float(np.sqrt(max(error, one_item / NORMAL_95) ** 2 + of_all))
        return ObjectiveEstimate(objective.name, value, stderr, n_items, "estimated", objective.weight)
