"""All estimators of one model's tasks: its abilities are fitted once, from its answers to all tasks together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fitness.estimation.ability import Ability, Coordinates, fit_ability
from fitness.estimation.link import log_likelihood
from fitness.estimation.response_model import ItemParameters
from fitness.estimation.task_estimates import (
    SMALLEST_BIAS2,
    Answers,
    Estimator,
    TaskEstimate,
    anchor_weighted,
    blended,
    gmp_share,
    gp_share,
    plain_mean,
    predicted_rest,
)
from fitness.typing import Floats

# Of the two squared z values below together: one model in twenty that fits would exceed it.
LARGEST_MISFIT = 4.0
LARGEST_GAP = 1.96


@dataclass(frozen=True, eq=False)
class BankTask:
    """One task's items in a bank, and what replaying known models says of estimates of it."""

    name: str  # the task's
    items: NDArray[np.intp]  # (n,) indices into the bank
    modelled: bool = True  # whether the response model describes them; scores beyond [0, 1] have none
    # b of gp-IRT: mean absolute error of the predicted mean of items that a held-out model did not show
    irt_error: float = 0.0
    response_variance: float = 0.25  # v of gp-IRT: mean over models of the variance of their scores
    mixture_bias2: float = SMALLEST_BIAS2  # squared error of mp-IRT beyond what its variance says


@dataclass(frozen=True, eq=False)
class ItemBank:
    """Every item of a benchmark, as the response model sees it."""

    parameters: ItemParameters  # of all items
    endpoints: Mapping[str, Floats]  # name -> (dims,) abilities of the models that are merged; empty where unknown
    tasks: tuple[BankTask, ...]  # each item belongs to one
    mixture_ridge: float = 1.0  # precision of the prior around the shares that a mixture begins from
    # whether known models were replayed from their own merge weights, so that candidates may be
    knows_shares: bool = False

    @property
    def estimators(self) -> tuple[Estimator, ...]:
        """The estimators that this bank serves; mixtures need two endpoints."""
        if not any(task.modelled for task in self.tasks):
            return ("mean", "anchor")
        mixtures: tuple[Estimator, ...] = ("mp-irt", "gmp-irt") if len(self.endpoints) > 1 else ()
        return ("mean", "anchor", "p-irt", "gp-irt", *mixtures)


@dataclass(frozen=True, eq=False)
class Seen:
    """A model's answers to some items of one task."""

    items: NDArray[np.intp]  # (n,) indices into the bank, all of one task, n >= 1
    scores: Floats  # (n,)
    weights: Floats  # (n,) anchor weights, above 0; any scale


@dataclass(frozen=True, eq=False)
class _Place:
    """Where a model stands in some coordinates, and how badly they describe its answers."""

    coordinates: Coordinates
    ability: Ability
    misfit: float

    def surplus(self, seen: Seen) -> tuple[float, float]:
        """Return by how much the mean of some answers is above what they are here, and that in standard errors.

        Either counts from half an answer on: one item more or less is nothing.
        """
        p = self.coordinates.of(seen.items).probabilities(self.ability.value)
        total, spread = float((seen.scores - p).sum()), float(np.sqrt((p * (1.0 - p)).sum())) + 1e-9
        beyond = np.sign(total) * max(0.0, abs(total) - 0.5)
        return float(beyond) / len(p), float(beyond) / spread


class Respondent:
    """One model's answers, one `Seen` for each of the bank's tasks, and every estimate that can be made of them.

    Where the response model does not describe the answers (a broken merge answers at random; another is worse, or
    better, than any mixture of its parents could be) its estimates fall back to the plain mean. Shares, endpoint ->
    share in the merge, are the prior of mixtures; None: all the same.
    """

    def __init__(self, bank: ItemBank, seen: Sequence[Seen], shares: Mapping[str, float] | None = None) -> None:
        self._bank, self._seen, self._shares = bank, seen, shares
        self._predicted: dict[tuple[int, bool], TaskEstimate] = {}

    def estimate(self, task: int, estimator: Estimator) -> TaskEstimate:
        """Return one task's estimate."""
        answers = self._answers(task)
        plain = plain_mean(answers)
        if estimator == "mean" or answers.share == 1.0:
            return plain
        if estimator == "anchor":
            return anchor_weighted(answers)
        if self.falls_back(task, estimator):
            return plain
        constants = self._bank.tasks[task]
        anchors = anchor_weighted(answers)
        model = self._doubted(task, estimator)
        match estimator:
            case "gp-irt":
                share = gp_share(constants.response_variance, len(answers.scores), constants.irt_error)
                return blended(anchors, model, share)
            case "gmp-irt":
                return blended(anchors, model, gmp_share(model, anchors, constants.mixture_bias2))
        return model

    def falls_back(self, task: int, estimator: Estimator) -> bool:
        """Return whether an estimate by the response model would be the plain mean instead.

        So it is where the answers as a whole are unlikely under the model, or more of the task's items are right, or
        fewer, than it could account for.
        """
        if estimator in ("mean", "anchor") or not self._bank.tasks[task].modelled:
            return True
        place = self._place(estimator)
        return place.misfit > LARGEST_MISFIT or abs(place.surplus(self._seen[task])[1]) > LARGEST_GAP

    def _answers(self, task: int) -> Answers:
        seen = self._seen[task]
        return Answers(seen.scores, seen.weights / seen.weights.sum(), len(self._bank.tasks[task].items))

    def _model(self, task: int, estimator: Estimator) -> TaskEstimate:
        mixture = estimator in ("mp-irt", "gmp-irt")
        if (task, mixture) not in self._predicted:
            answers, place = self._answers(task), self._place(estimator)
            rest = np.setdiff1d(self._bank.tasks[task].items, self._seen[task].items)
            # C4: p-IRT takes the plain mean of what was seen, mp-IRT the weighted one.
            seen_mean = float(answers.weights @ answers.scores) if mixture else float(answers.scores.mean())
            estimate = predicted_rest(answers, seen_mean, place.coordinates.of(rest), place.ability)
            self._predicted[task, mixture] = estimate
        return self._predicted[task, mixture]

    def _doubted(self, task: int, estimator: Estimator) -> TaskEstimate:
        """Return the model's estimate with more variance, the closer it is to falling back."""
        model, place = self._model(task, estimator), self._place(estimator)
        gap, _ = place.surplus(self._seen[task])
        return TaskEstimate(model.value, model.variance + gap**2 * min(1.0, place.misfit / LARGEST_MISFIT))

    def _place(self, estimator: Estimator) -> _Place:
        return self._mixture if estimator in ("mp-irt", "gmp-irt") else self._free

    @cached_property
    def _free(self) -> _Place:
        return self._placed(Coordinates.free(self._bank.parameters))

    @cached_property
    def _mixture(self) -> _Place:
        bank = self._bank
        mixture = Coordinates.mixture(bank.parameters, bank.endpoints, shares=self._shares, ridge=bank.mixture_ridge)
        return self._placed(mixture)

    def _placed(self, coordinates: Coordinates) -> _Place:
        used = [seen for seen, task in zip(self._seen, self._bank.tasks, strict=True) if task.modelled]
        items, scores = np.concatenate([s.items for s in used]), np.concatenate([s.scores for s in used])
        shown = coordinates.of(items)
        ability = fit_ability(shown, scores)
        return _Place(coordinates, ability, misfit(shown, ability, scores))


def misfit(coordinates: Coordinates, ability: Ability, scores: Floats) -> float:
    """Return how unlikely answers are under the ability fitted to them: two squared z values, added.

    One is of the total score, whether lower or higher than expected; one of the deviance, when it is higher.
    """
    p = np.clip(coordinates.probabilities(ability.value), 1e-9, 1.0 - 1e-9)
    logit = np.log(p) - np.log1p(-p)
    total = float((scores - p).sum()) / float(np.sqrt((p * (1.0 - p)).sum()))
    eta = coordinates.offsets + coordinates.design @ ability.value
    surprise = float((p * logit + np.log1p(-p) - log_likelihood(scores, eta, coordinates.guessing)).sum())
    deviance = surprise / float(np.sqrt((p * (1.0 - p) * logit**2).sum()) + 1e-9)
    return total**2 + max(0.0, deviance) ** 2
