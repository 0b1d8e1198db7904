"""Merging task vectors δᵢ = θᵢ - θ₀, sparsified to δ̂ᵢ, into one: τ, which `Operator.merge` scales and adds to the base.

The methods are one pipeline (mergekit's "generalised task arithmetic"): which elements of each δᵢ survive and how they
are scaled, and whether parents must agree on a sign. `composed` has both choices as parameters; the others are named
points of it. Only a few accumulators are held, never a stack of K task vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.operators import counter, sparsify
from search_spaces.operators.agreement import agreeing, largest, total
from search_spaces.operators.operator import Operands, Trim

Sparsify = Callable[[Operands, int], Tensor]
Combine = Callable[[Operands, Iterator[Tensor]], Tensor]


def task_arithmetic(operands: Operands) -> Tensor:
    """Return τ = Σ wᵢδᵢ, over Σ wᵢ if `normalize`.

    Negative weights make the merged model forget what a parent has learnt.

    Reference: Ilharco et al. 2023, "Editing Models with Task Arithmetic" (arXiv 2212.04089), section 2.
    """
    return merged_deltas(operands, difference, total)


def ties(operands: Operands) -> Tensor:
    """Return τ, the mean of the trimmed task vectors that agree with the elected sign.

    Each δᵢ keeps its k largest elements (`sparsify.n_kept`), the sign of Σ wᵢδ̂ᵢ is elected, and τ is Σ wᵢδ̂ᵢ / Σ wᵢ over
    the parents of that sign, or the sum alone without `normalize`. Trimming per tensor, weights, and plus for a vote
    that sums to zero follow mergekit; the authors' code is scope: global (which keeps all of equal magnitudes at the
    threshold), divisor: agreeing, zero_sign: majority (the tensor's majority, where theirs is the whole model's).

    Reference: Yadav et al. 2023, "TIES-Merging" (arXiv 2306.01708), algorithm 1.
    """
    return merged_deltas(operands, trimmed, agreeing)


def dare_linear(operands: Operands) -> Tensor:
    """Return τ = Σ wᵢδ̂ᵢ, each δ̂ᵢ a random share of δᵢ.

    `rescale` "density" multiplies by 1/density, so that E δ̂ᵢ = δᵢ (the paper); "l1" restores the L1 norm (mergekit).
    Tensors of fewer than 1,024 elements are kept whole.

    Reference: Yu et al. 2024, "Language Models are Super Mario" (DARE, arXiv 2311.03099), equations 2 to 4.
    """
    return merged_deltas(operands, dropped, total)


def dare_ties(operands: Operands) -> Tensor:
    """Return τ as in `ties` over random shares of the task vectors.

    No trimming by magnitude follows, as in mergekit; `second_trim` 0.2 is what the authors' code does.

    Reference: Yu et al. 2024 (arXiv 2311.03099), section 3.
    """
    return merged_deltas(operands, _dropped_and_trimmed, agreeing)


def della_linear(operands: Operands) -> Tensor:
    """Return τ = Σ wᵢδ̂ᵢ, each δ̂ᵢ a random share of δᵢ in which larger elements are likelier to be kept.

    `rescale` "density" divides each survivor by its own probability, so that E δ̂ᵢ = δᵢ (the paper); "l1" restores the
    L1 norm (mergekit). Tensors of fewer than 1,024 elements are kept whole.

    Reference: Deep et al. 2024, "DELLA-Merging" (arXiv 2406.11617), section 3.
    """
    return merged_deltas(operands, ranked, total)


def della(operands: Operands) -> Tensor:
    """Return τ as in `ties` over the random shares of `della_linear`.

    Reference: Deep et al. 2024, "DELLA-Merging" (arXiv 2406.11617), section 3.
    """
    return merged_deltas(operands, ranked, agreeing)


def breadcrumbs(operands: Operands) -> Tensor:
    """Return τ = Σ wᵢδ̂ᵢ, each δᵢ without its largest elements (share `gamma`) and its smallest.

    Reference: Davari & Belilovsky 2023, "Model Breadcrumbs" (arXiv 2312.06795), section 3.
    """
    return merged_deltas(operands, without_outliers, total)


def breadcrumbs_ties(operands: Operands) -> Tensor:
    """Return τ as in `ties` over the task vectors of `breadcrumbs`.

    Reference: Davari & Belilovsky 2023 (arXiv 2312.06795); Yadav et al. 2023 (arXiv 2306.01708).
    """
    return merged_deltas(operands, without_outliers, agreeing)


def composed(operands: Operands) -> Tensor:
    """Return τ by a chosen way to sparsify, scale and combine task vectors.

    The other pipelines of this family are points of this one; so are combinations that no paper has tested. `epsilon`
    counts for sparsify: ranked, `gamma` for outliers, `divisor` and `zero_sign` for consensus: sign.

    Reference: Goddard et al. 2024, "Arcee's MergeKit" (arXiv 2403.13257), which factors the methods in this way.
    """
    sparsifiers: dict[str, Sparsify] = {
        "none": difference,
        "magnitude": trimmed,
        "random": dropped,
        "ranked": ranked,
        "outliers": without_outliers,
    }
    combinations: dict[str, Combine] = {"sum": total, "sign": agreeing, "largest": largest}
    chosen = operands.parameters
    return merged_deltas(operands, sparsifiers[str(chosen["sparsify"])], combinations[str(chosen["consensus"])])


def merged_deltas(operands: Operands, sparsify_one: Sparsify, combine: Combine) -> Tensor:
    """Return the combination of the inputs' sparsified task vectors, made one at a time."""
    return combine(operands, (sparsify_one(operands, i) for i in range(len(operands.tensors))))


def difference(operands: Operands, i: int) -> Tensor:
    """Return δᵢ, a new tensor."""
    return operands.tensors[i] - operands.task_origin


def trimmed(operands: Operands, i: int) -> Tensor:
    """Return δᵢ with its largest magnitudes only."""
    delta, density = difference(operands, i), operands.numbers("density")[i]
    if density == 1.0:
        return delta
    norm = _norm_for(operands, delta)
    kept = sparsify.keep_largest(delta, _trim(operands, i, delta, density))
    return _rescaled(operands, kept, chance=density, norm_before=norm)


def dropped(operands: Operands, i: int) -> Tensor:
    """Return a random share of δᵢ."""
    delta, density = difference(operands, i), operands.numbers("density")[i]
    if density == 1.0 or delta.numel() < sparsify.FEWEST_TO_DROP_FROM:
        return delta
    norm = _norm_for(operands, delta)
    kept = sparsify.drop_randomly(delta, density, uniform(operands, i))
    return _rescaled(operands, kept, chance=density, norm_before=norm)


def ranked(operands: Operands, i: int) -> Tensor:
    """Return a random share of δᵢ, larger magnitudes likelier kept."""
    delta, density = difference(operands, i), operands.numbers("density")[i]
    if density == 1.0 or delta.numel() < sparsify.FEWEST_TO_DROP_FROM:
        return delta
    norm = _norm_for(operands, delta)
    chances = sparsify.keep_probabilities(delta, density, operands.numbers("epsilon")[i])
    kept = delta.mul_(uniform(operands, i) < chances)
    return _rescaled(operands, kept, chance=chances, norm_before=norm)


def without_outliers(operands: Operands, i: int) -> Tensor:
    """Return δᵢ without its largest and its smallest magnitudes, over the tensor or row by row."""
    delta, values = difference(operands, i), operands.inputs[i]
    norm = _norm_for(operands, delta)
    density, gamma = float(values["density"]), float(values["gamma"])
    sparsify.drop_outliers(delta, density, gamma, by_row=operands.parameters.get("scope") == "row")
    return _rescaled(operands, delta, chance=density, norm_before=norm)


def uniform(operands: Operands, i: int) -> Tensor:
    """Return the i-th input's random numbers in [0, 1), one per element; always the same for one input and tensor."""
    return counter.uniform(operands.seeds(i), operands.tensors[i].shape)


def _dropped_and_trimmed(operands: Operands, i: int) -> Tensor:
    delta, share = dropped(operands, i), operands.number("second_trim")
    return delta if share == 1.0 else sparsify.keep_largest(delta, sparsify.trim(delta, share))


def _trim(operands: Operands, i: int, delta: Tensor, density: float) -> Trim:
    if operands.parameters.get("scope") == "global":
        if operands.global_trims is None:
            raise SpaceError("scope: expected tensor where one tensor is merged alone, found global")
        return operands.global_trims(i, density)
    return operands.trims(i, density) if operands.trims else sparsify.trim(delta, density)


def _norm_for(operands: Operands, delta: Tensor) -> float:
    return sparsify.l1_norm(delta) if operands.parameters.get("rescale") == "l1" else 0.0


def _rescaled(operands: Operands, delta: Tensor, *, chance: float | Tensor, norm_before: float) -> Tensor:
    """Return the survivors scaled as `rescale` says; `chance` is the probability with which each was kept."""
    rescale = operands.parameters.get("rescale", "none")
    if rescale == "none":
        return delta
    if rescale == "density":
        return delta.div_(chance) if isinstance(chance, Tensor) else delta.mul_(1.0 / chance)
    return delta.mul_(sparsify.l1_gain(norm_before, sparsify.l1_norm(delta)))
