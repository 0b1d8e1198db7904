"""Is an estimate from few items any good here? Leave-models-out, against a uniform random subset of the same size.

`calibrate` is the place to start. Lower error is not better choice: an item set's error is
common to all candidates, and cancels in their ranking. So ranks and the regret of the top pick stand beside the error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fitness.estimation.task_estimates import Estimator
from fitness.reduction.anchors import Anchors, Method
from fitness.reduction.quality import Quality, by_fold, mean_quality, random_folds
from fitness.reduction.replay import Fold, Mixture, Replayed, anchors_of, fit_mixture, replay, with_constants
from fitness.reduction.response_matrix import ResponseMatrix, TaskItems
from fitness.typing import Floats

CONFIDENCE = 0.95
NORMAL_95 = 1.959964
TAU_MARGIN = 0.02
_ALIKE = "not better than random, nothing shows which items tell models apart; campaigns use the plain mean"


@dataclass(frozen=True)
class ErrorScale:
    """What replaying known models says of an estimator's own variance."""

    bias2: float  # squared error that the variance does not know of
    factor: float  # makes 95 % of the known models' errors lie within 1.96 standard errors

    def stderr(self, variance: float, *, replayed: bool = True) -> float:
        """Return the standard error that holds here, for a variance by the formulas.

        Where other items were answered than those that were replayed, nothing says that they do better than a random
        sample: the factor is at least 1 then.
        """
        return (self.factor if replayed else max(1.0, self.factor)) * float(np.sqrt(variance + self.bias2))


@dataclass(frozen=True)
class CalibrationRow:
    """One line of the report."""

    anchors: Method  # how items are chosen
    estimator: Estimator  # what is made of their scores
    quality: Quality  # means
    coverage: float  # share of full scores within 1.96 standard errors, scaled as the other folds say


@dataclass(frozen=True)
class Calibration:
    """The report."""

    n_items: int  # items per candidate
    n_models: int  # models held out, each once
    random: Quality  # the plain mean on uniform random subsets, many of them
    rows: tuple[CalibrationRow, ...]  # every choice of anchors with every estimator
    chosen: Quality  # the best choice of anchors and estimator, judged on each fold by the other folds: what to expect
    anchors: Method  # the choice itself
    estimator: Estimator  # the choice itself
    better: bool  # whether it is better than a random subset
    verdict: str  # the same in words
    # objective -> estimator -> scale of its standard errors, with the chosen anchors
    scales: Mapping[str, Mapping[Estimator, ErrorScale]]


@dataclass(frozen=True, eq=False)
class _Scored:
    """Qualities of one pair (anchors, estimator) by fold: (n_folds, 3), columns as in `Quality`."""

    anchors: Method
    estimator: Estimator
    folds: Floats
    replayed: Replayed


def calibrate(
    matrix: ResponseMatrix,
    tasks: TaskItems,
    folds: Sequence[Fold],
    *,
    n_items: int,
    methods: Sequence[Method],
    rng: np.random.Generator,
) -> tuple[Calibration, Mixture | None]:
    """Replay every known model, and choose anchors and estimator; also returns mp-IRT's constants, if it has any.

    Chosen is the lowest error among the pairs that rank models as well as random subsets do. Better than random means,
    on models that had no part in the choice: the error is lower (a one-sided t test over the folds at 5 %), and
    Kendall's tau is not lower by more than 0.02 and one standard error.
    """
    full = tasks.full_scores(matrix.scores)
    sizes = tasks.sizes(n_items)
    random = random_folds(matrix, tasks, folds, sizes, rng)
    scored: list[_Scored] = []
    mixtures: dict[Method, Mixture | None] = {}
    for method in methods:
        anchors = [anchors_of(fold.responses, method, sizes, rng) for fold in folds]
        found, mixtures[method] = _replay_all(matrix, tasks, folds, anchors)
        scored += [_Scored(method, e, by_fold(r.values, full, folds), r) for e, r in found.items()]
    best, honest = _choose(scored, random)
    better, verdict = _judge(honest, random, best, n_items)
    held_out = np.sort(np.concatenate([fold.held_out for fold in folds]))
    if not np.ptp(full[held_out], axis=0).any():
        better, verdict = False, f"all {len(held_out)} models have the same scores: {_ALIKE}"
    if not better:
        best = next((s for s in scored if s.estimator == "mean" and s.anchors == "uniform"), best)
    scales = {
        name: {
            s.estimator: error_scale(
                s.replayed.values[held_out, k] - full[held_out, k], s.replayed.variances[held_out, k]
            )
            for s in scored
            if s.anchors == best.anchors
        }
        for k, name in enumerate(tasks.objectives)
    }
    report = Calibration(
        n_items,
        len(held_out),
        mean_quality(random),
        tuple(CalibrationRow(s.anchors, s.estimator, mean_quality(s.folds), _coverage(s, full, folds)) for s in scored),
        mean_quality(honest),
        best.anchors,
        best.estimator,
        better,
        verdict,
        scales,
    )
    return report, mixtures[best.anchors]


def error_scale(errors: Floats, variances: Floats) -> ErrorScale:
    """Return the scale at which 95 % of (n,) errors lie within 1.96 standard errors.

    The factor is a split-conformal quantile: a further model of the same kind is covered with at least 95 %, however
    wrong the variances are (Lei et al., JASA 113, 2018); with fewer than 19 models the largest error stands for it.
    """
    bias2 = max(0.0, float((errors**2 - variances).mean()))
    z = np.sort(np.abs(errors) / np.sqrt(np.maximum(variances + bias2, 1e-12)))
    rank = min(len(z), int(np.ceil(CONFIDENCE * (len(z) + 1))))
    return ErrorScale(bias2, float(z[rank - 1]) / NORMAL_95)


def _replay_all(
    matrix: ResponseMatrix, tasks: TaskItems, folds: Sequence[Fold], anchors: Sequence[Sequence[Anchors]]
) -> tuple[Mapping[Estimator, Replayed], Mixture | None]:
    estimators = folds[0].bank.estimators
    if "mp-irt" not in estimators:
        return replay(matrix, tasks, folds, anchors, estimators=estimators), None
    mixture = fit_mixture(matrix, tasks, folds, anchors)
    suited = [Fold(f.held_out, with_constants(f.bank, mixture=mixture), f.responses) for f in folds]
    return replay(matrix, tasks, suited, anchors, estimators=estimators), mixture


def _choose(scored: Sequence[_Scored], random: Floats) -> tuple[_Scored, Floats]:
    """Return the preferred pair, and by fold the quality of the pair that the other folds prefer."""
    qualities = np.array([s.folds for s in scored])  # (n_pairs, n_folds, 3)
    n_folds = len(random)
    honest = []
    for fold in range(n_folds):
        others = np.delete(np.arange(n_folds), fold)
        honest.append(qualities[_preferred(qualities[:, others], random[others]), fold])
    return scored[_preferred(qualities, random)], np.array(honest)


def _preferred(qualities: Floats, random: Floats) -> int:
    errors, taus = qualities[:, :, 0].mean(axis=1), qualities[:, :, 1].mean(axis=1)
    ranks_as_well = taus >= random[:, 1].mean() - TAU_MARGIN
    return int(np.argmin(np.where(ranks_as_well, errors, np.inf) if ranks_as_well.any() else errors))


def _judge(honest: Floats, random: Floats, best: _Scored, n_items: int) -> tuple[bool, str]:
    chosen, plain = mean_quality(honest), mean_quality(random)
    lower = _is_positive(random[:, 0] - honest[:, 0])
    taus = random[:, 1] - honest[:, 1]
    worse = taus.mean() > TAU_MARGIN + taus.std(ddof=1) / len(taus) ** 0.5
    numbers = (
        f"mean absolute error {chosen.error:.4f} against {plain.error:.4f}, Kendall tau {chosen.kendall:.3f} against "
        f"{plain.kendall:.3f}, regret of the top pick {chosen.regret:.4f} against {plain.regret:.4f}"
    )
    what = f"{best.estimator} on {n_items} items chosen by {best.anchors}"
    against = f"than the plain mean on {n_items} random items ({numbers}, on models left out)"
    if lower and not worse:
        return True, f"{what}: better {against}"
    why = "ranks models worse" if worse else "its error is not shown to be lower"
    return False, f"{what}: not better than random, {why} {against}; campaigns use the plain mean"


def _coverage(scored: _Scored, full: Floats, folds: Sequence[Fold]) -> float:
    errors, variances = scored.replayed.values - full, scored.replayed.variances
    covered = []
    for fold in folds:
        own = fold.held_out
        others = np.concatenate([other.held_out for other in folds if other is not fold])
        for k in range(full.shape[1]):
            scale = error_scale(errors[others, k], variances[others, k])
            margins = [NORMAL_95 * scale.stderr(float(v)) + 1e-12 for v in variances[own, k]]
            covered.append(np.abs(errors[own, k]) <= margins)
    return float(np.concatenate(covered).mean())


def _is_positive(differences: Floats) -> bool:
    """Return whether the mean of (n,) differences is above 0 by a one-sided t test at 5 %."""
    from scipy.stats import t as student

    n = len(differences)
    stderr = float(differences.std(ddof=1)) / n**0.5
    mean = float(differences.mean())
    return mean > stderr * float(student.ppf(CONFIDENCE, n - 1)) and mean > 1e-12
