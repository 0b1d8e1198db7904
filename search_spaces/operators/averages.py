"""Averages of the parents' weights, and copies: no base, no task vectors. All are elementwise: θ = Σ sᵢθᵢ."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence

import numpy as np
import torch

from search_spaces.errors import SpaceError
from search_spaces.operators.kernels.form import Form, Merge, Part
from search_spaces.operators.operator import Operands

# A sum of weights this small has no meaningful direction; dividing by it would blow rounding errors up.
VANISHING_SUM = 1e-8


def linear(operands: Operands) -> Merge:
    """Return the weighted mean of the parents: θ = Σ wᵢθᵢ / Z, with Z = Σ wᵢ if `normalize` else 1.

    One parent with all the weight comes back bit for bit. Negative weights extrapolate.

    Raises:
        SpaceError: `normalize` and |Σ wᵢ| < 1e-8.

    Reference: Wortsman et al. 2022, "Model soups" (arXiv 2203.05482), section 2.
    """
    shares = normalised(operands.numbers("weight")) if operands.parameters["normalize"] else operands.numbers("weight")
    return averaged(operands, shares)


def model_interpolation(operands: Operands) -> Merge:
    """Return (1 - t)θ₁ + tθ₂; t = 0 and t = 1 return a parent bit for bit, t outside [0, 1] extrapolates.

    Reference: Wu et al. 2025, "Revisiting Model Interpolation for Efficient Reasoning" (arXiv 2510.10977).
    """
    t = operands.number("t")
    return averaged(operands, [1.0 - t, t])


def bcwi(operands: Operands) -> Merge:
    """Return αθ_old + (1 - α)·mean θ_new: the first input is the old model, the others are retrained ones.

    Keeps what the old model got right (fewer negative flips); several new models make the paper's SoupBCWI.

    Reference: Schumann et al. 2023, "Backward Compatibility During Data Updates by Weight Interpolation"
    (arXiv 2301.10546), section 3.
    """
    alpha, n_new = operands.number("alpha"), len(operands.tensors) - 1
    return averaged(operands, [alpha, *[(1.0 - alpha) / n_new] * n_new])


def mwa(operands: Operands) -> Merge:
    """Return Σ cᵢθᵢ over checkpoints of one run, in order of training, weighted by a metric of each.

    cᵢ ∝ mᵢ^power, mᵢ = 1/lossᵢ or stepᵢ (a step of 0 has no share); with transform: softmax cᵢ ∝ exp(power·zᵢ), zᵢ the
    standardised step or negative loss. Power 0 is the uniform mean. The paper's exact transformation is not published
    with its text; this form is ours.

    Raises:
        SpaceError: a loss that is not positive, a negative step, or steps that are all 0.

    Reference: inspired by "Parameter-Efficient Checkpoint Merging via Metrics-Weighted Averaging"
    (arXiv 2504.18580).
    """
    return averaged(operands, _metric_shares(operands, operands.numbers("metric")[-_window(operands) :]))


def wsm(operands: Operands) -> Merge:
    """Return Σ cⱼθⱼ over checkpoints of one constant-rate run, in order of training, as if the rate had decayed.

    An average of k + 1 checkpoints multiplies the updates between them by w₁ ≥ ... ≥ wₖ; so c₀ = 1 - w₁,
    cⱼ = wⱼ - wⱼ₊₁, cₖ = wₖ, with w(x) at x = i/(k + 1): 1 - x (linear: the plain mean), 1 - √x, (1 + cos πx)/2, or
    1 - x^exponent (power).

    Reference: Tian et al. 2025, "WSM: Decay-Free Learning Rate Schedule via Checkpoint Merging" (arXiv 2507.17634),
    section 3.
    """
    decay, exponent, n = str(operands.parameters["decay"]), operands.number("exponent"), _window(operands)
    kept = [1.0, *(_decayed(decay, i / n, exponent) for i in range(1, n)), 0.0]
    return averaged(operands, [before - after for before, after in itertools.pairwise(kept)])


def layer_swap(operands: Operands) -> Merge:
    """Return the first parent's tensor in the outer layers, the second's in the middle, a mix in the layers between.

    Of L layers the `bottom` first and `top` last are the first parent's (the language expert), the
    `bottom_transition` and `top_transition` layers next to them are mixed, and the rest is the second parent's (the
    task expert). Where all this exceeds L, the transitions shrink first, then the top, then the bottom. What lies
    outside the layers follows `edge_source`, which the paper leaves open.

    Reference: Bandarkar et al. 2024, "Layer Swapping for Zero-Shot Cross-Lingual Transfer" (arXiv 2410.01335),
    section 3; its setting for 32 layers is 5, 2, 1 and 1.
    """
    if operands.layer is None:
        share = {"outer": 0.0, "inner": 1.0, "mean": 0.5}[str(operands.parameters["edge_source"])]
    else:
        share = _inner_share(operands, *operands.layer)
    return averaged(operands, [1.0 - share, share])


def passthrough(operands: Operands) -> Merge:
    """Return a copy of the only parent, times `scale`; bit for bit at scale 1.

    Reference: frankenmerges, e.g. Kim et al. 2023, "SOLAR" (arXiv 2312.15166).
    """
    tensors, scale = (operands.tensors[0],), float(operands.inputs[0]["scale"])
    return Merge(Form(n_parents=1, dtype=torch.float32, of_deltas=False), tensors, None, (Part(scale),))


def _inner_share(operands: Operands, layer: int, n_layers: int) -> float:
    names = ("bottom", "top", "bottom_transition", "top_transition")
    bottom, top, above, below = (int(operands.parameters[name]) for name in names)
    bottom = min(bottom, n_layers)
    top = min(top, n_layers - bottom)
    above = min(above, n_layers - bottom - top)
    below = min(below, n_layers - bottom - top - above)
    if layer < bottom or layer >= n_layers - top:
        return 0.0
    mixed = layer < bottom + above or layer >= n_layers - top - below
    return operands.number("transition_weight") if mixed else 1.0


def _window(operands: Operands) -> int:
    """Return how many of the last inputs take part: `window`; all for 0, or if there are fewer."""
    n = len(operands.tensors)
    return min(int(operands.parameters["window"]) or n, n)


def _decayed(decay: str, x: float, exponent: float) -> float:
    """Return what is left of an update at x in (0, 1) of the window."""
    if decay == "cosine":
        return (1.0 + math.cos(math.pi * x)) / 2.0
    power: float = {"linear": 1.0, "sqrt": 0.5, "power": exponent}[decay]
    return 1.0 - math.pow(x, power)


def _metric_shares(operands: Operands, metrics: Sequence[float]) -> list[float]:
    is_loss, power = operands.parameters["metric_is"] == "loss", operands.number("power")
    if min(metrics) < 0.0 or (is_loss and min(metrics) == 0.0):
        expected = "positive losses" if is_loss else "steps of 0 or more"
        raise SpaceError(f"metric: expected {expected}, found {list(metrics)}")
    if operands.parameters["transform"] == "softmax":
        deviation = statistics.pstdev(metrics) or 1.0
        scores = [power * (-m if is_loss else m) / deviation for m in metrics]
        return normalised([math.exp(score - max(scores)) for score in scores])
    merits = [1.0 / m if is_loss else m for m in metrics]
    if max(merits) == 0.0:
        raise SpaceError(f"metric: expected a step above 0, found {list(metrics)}")
    # Divided by the best first: a power of 8 would overflow otherwise.
    return normalised([(m / max(merits)) ** power if m > 0.0 else 0.0 for m in merits])


def normalised(weights: Sequence[float]) -> list[float]:
    """Return the weights divided by their sum."""
    total = sum(weights)
    if abs(total) < VANISHING_SUM:
        raise SpaceError(
            f"weight: expected weights whose sum is not 0, because normalize is on; found {list(weights)}. "
            "Change a weight, or set normalize: false"
        )
    return [weight / total for weight in weights]


def averaged(operands: Operands, shares: Sequence[float]) -> Merge:
    """Return θ = Σ sᵢθᵢ of the last inputs, one for each share; parents of share 0 are not read."""
    first = len(operands.tensors) - len(shares)
    # Rounded before they are compared: what float32 cannot tell from 0 has no share.
    rounded = np.array(shares, dtype=np.float32).tolist()
    used = {first + i: share for i, share in enumerate(rounded) if share != 0.0}
    form = Form(n_parents=len(used), dtype=torch.float32, of_deltas=False)
    tensors = tuple(operands.tensors[i] for i in used)
    return Merge(form, tensors, None, tuple(Part(share) for share in used.values()))
