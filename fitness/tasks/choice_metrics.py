"""What the log-likelihoods of a question's choices say about a model: one number per question, higher is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

_MARGIN_SHARE = 0.001  # of `acc+margin`; below 1,000 items, one more right answer outweighs all margins


@dataclass(frozen=True, eq=False)
class ScoredChoices:
    """One question as a model sees it."""

    log_likelihoods: NDArray[np.float64]  # (n_choices,) of the choices after the question, in nats
    choices: Sequence[str]  # (n_choices,) their texts, without what stands between question and choice
    right: frozenset[int]  # indices of the right ones; usually one


def accuracy(scored: ScoredChoices) -> float:
    """Return 1.0 where the likeliest choice is right (of equally likely ones the first), else 0.0."""
    return float(int(np.argmax(scored.log_likelihoods)) in scored.right)


def accuracy_per_character(scored: ScoredChoices) -> float:
    """Return the same of log-likelihoods divided by the choice's characters, which is lm-eval's `acc_norm`."""
    return accuracy(_per(scored, [len(choice) for choice in scored.choices]))


def accuracy_per_byte(scored: ScoredChoices) -> float:
    """Return the same of log-likelihoods divided by the choice's bytes of UTF-8, which is lm-eval's `acc_bytes`."""
    return accuracy(_per(scored, [len(choice.encode()) for choice in scored.choices]))


def margin(scored: ScoredChoices) -> float:
    """Return the log-likelihood of the likeliest right choice minus that of the likeliest wrong one, in nats.

    There must be a right and a wrong one (`NEED_BOTH_SIDES`).
    """
    is_right = np.array([i in scored.right for i in range(len(scored.choices))])
    return float(scored.log_likelihoods[is_right].max() - scored.log_likelihoods[~is_right].max())


def margin_per_character(scored: ScoredChoices) -> float:
    """Return the same of log-likelihoods divided by the choice's characters."""
    return margin(_per(scored, [len(choice) for choice in scored.choices]))


def margin_per_byte(scored: ScoredChoices) -> float:
    """Return the same of log-likelihoods divided by the choice's bytes of UTF-8."""
    return margin(_per(scored, [len(choice.encode()) for choice in scored.choices]))


def accuracy_with_margin(scored: ScoredChoices) -> float:
    """Return 0.999 accuracy + 0.001 (1 + s) / 2 in [0, 1], with s = m / (1 + |m|) of the margin m.

    Models of equal accuracy are ranked by their margins.
    """
    m = margin(scored)
    squashed = m / (1.0 + abs(m))
    return (1.0 - _MARGIN_SHARE) * accuracy(scored) + _MARGIN_SHARE * (1.0 + squashed) / 2.0


def minus_entropy(scored: ScoredChoices) -> float:
    """Return sum p log p of p = softmax(log-likelihoods), in [-log n_choices, 0]; needs no right answer.

    In AdaMerging (Yang et al., arXiv 2310.02575) the entropy of the predictions stands in for the loss. A model that is
    sure of wrong answers scores well, too: use it beside a measure that knows the right ones.
    """
    shifted = scored.log_likelihoods - scored.log_likelihoods.max()
    log_p = shifted - np.log(np.exp(shifted).sum())
    return float((np.exp(log_p) * log_p).sum())


def _per(scored: ScoredChoices, lengths: Sequence[int]) -> ScoredChoices:
    return replace(scored, log_likelihoods=scored.log_likelihoods / lengths)


CHOICE_METRICS: Mapping[str, Callable[[ScoredChoices], float]] = MappingProxyType(
    {
        "acc": accuracy,
        "acc_norm": accuracy_per_character,
        "acc_bytes": accuracy_per_byte,
        "margin": margin,
        "acc+margin": accuracy_with_margin,
        "entropy": minus_entropy,
    }
)
"""By the name that campaigns use."""

MARGINS: Mapping[str, Callable[[ScoredChoices], float]] = MappingProxyType(
    {"acc": margin, "acc_norm": margin_per_character, "acc_bytes": margin_per_byte, "acc+margin": margin}
)
"""Metric -> the margin that is positive where it says right, and negative where it says wrong."""

NEED_BOTH_SIDES = frozenset({"margin", "acc+margin"})
"""Metrics of questions that have a right and a wrong choice."""

NEGATED = frozenset({"entropy", "js_divergence", "bits_per_byte"})
"""Metrics where less is better: their scores are negated."""


def shown(metric: str) -> str:
    """Return a metric as tables show it: with a leading minus where it is negated."""
    return f"-{metric}" if metric in NEGATED else metric
