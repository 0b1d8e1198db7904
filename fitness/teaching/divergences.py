"""How far a model's predictions are from a teacher's, place by place, with its slope in closed form.

A graph through log-probabilities keeps several copies of (n_places, n_vocabulary) numbers; here one is kept, the slope.
The derivatives by the logits z, p = softmax z, q the teacher's:

    JS = ½ Σ p log(p/m) + ½ Σ q log(q/m), m = (p + q)/2      dJS/dz = ½ p (log(p/m) - Σ p log(p/m))
    T² KL(q_T || p_T), p_T = softmax(z/T)                     dKL/dz = T (p_T - q_T)
    H = -Σ p log p                                            dH/dz  = -p (log p + H)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from fitness.teaching.teachers import Taught

Divergence = Literal["js", "kl", "entropy"]

_ROWS = 64  # at a time, so that what is in between stays small


@dataclass(frozen=True)
class Measured:
    """What is measured at each place, and how logits change it."""

    values: Tensor  # (n_places,) float32
    slopes: Tensor  # (n_places, n_vocabulary), by the logits, in their dtype; no rows unless asked for


def divergences(logits: Tensor, taught: Sequence[Taught], kind: Divergence, temperature: float) -> Tensor:
    """Return a divergence at each place, (n_places,) float32 in nats, with a graph if the logits have one.

    Args:
        logits: (n_places, n_vocabulary).
        taught: what the teachers say, one after the other, of n_places in all; none count for "entropy".
        kind: "js", in [0, log 2]; "kl", T² KL(teacher || model); "entropy" of the model.
        temperature: T, which divides logits (kl only).
    """
    measured: Tensor = _Divergence.apply(logits, taught, kind, temperature)  # type: ignore[no-untyped-call]
    return measured


class _Divergence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, taught: Sequence[Taught], kind: Divergence, temperature: float) -> Tensor:
        found = measure(logits, taught, kind, temperature, slopes=ctx.needs_input_grad[0])
        ctx.save_for_backward(found.slopes)
        return found.values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        return slopes * gradients[0][:, None].to(slopes.dtype), None, None, None


@torch.no_grad()
def measure(
    logits: Tensor, taught: Sequence[Taught], kind: Divergence, temperature: float, *, slopes: bool
) -> Measured:
    """Return divergences and their slopes; see `divergences`."""
    values = torch.empty(len(logits), dtype=torch.promote_types(logits.dtype, torch.float32), device=logits.device)
    found = torch.empty_like(logits) if slopes else logits.new_empty(0)
    for start, stop, teacher, first in _blocks(len(logits), taught, kind):
        rows = logits[start:stop].to(values.dtype)
        scale = temperature if kind == "kl" else 1.0
        log_p = torch.log_softmax(rows / scale, dim=-1)
        if kind == "entropy" or teacher is None:
            value, slope = _entropy(log_p)
        else:
            log_q, group = teacher.rows(first, first + stop - start, log_p)
            grouped = log_p if group is None else group.gathered(log_p)
            value, by_log_p = (_js if kind == "js" else _kl)(grouped, log_q)
            # by log p, as if free; back to all tokens, then through the softmax
            spread = by_log_p if group is None else group.spread(by_log_p, log_p, grouped)
            slope = spread - log_p.exp() * spread.sum(dim=-1, keepdim=True)
        values[start:stop] = value * scale**2
        if slopes:
            found[start:stop] = (slope * scale).to(found.dtype)
    return Measured(values, found)


def _blocks(n: int, taught: Sequence[Taught], kind: Divergence) -> Any:
    """Yield (first place, place after the last, its teacher, first place of the teacher's own)."""
    if kind == "entropy":
        yield from ((start, min(start + _ROWS, n), None, 0) for start in range(0, n, _ROWS))
        return
    start = 0
    for teacher in taught:
        for first in range(0, len(teacher), _ROWS):
            size = min(_ROWS, len(teacher) - first)
            yield start, start + size, teacher, first
            start += size


def _js(log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
    """Return JS (n,) and its slope by log p: ½ p log(p/m), the additive constants cancel in the softmax."""
    log_m = torch.logaddexp(log_p, log_q) - math.log(2.0)
    own = log_p.exp() * (log_p - log_m)
    other = log_q.exp() * (log_q - log_m)
    return 0.5 * (own.sum(-1) + other.sum(-1)).clamp(min=0.0), 0.5 * own


def _kl(log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
    """Return KL(q || p) (n,) and its slope by log p: -q."""
    q = log_q.exp()
    return (q * (log_q - log_p)).sum(-1), -q


def _entropy(log_p: Tensor) -> tuple[Tensor, Tensor]:
    """Return H (n,) and its slope by the logits."""
    p = log_p.exp()
    entropy = -(p * log_p).sum(-1)
    return entropy, -p * (log_p + entropy[:, None])
