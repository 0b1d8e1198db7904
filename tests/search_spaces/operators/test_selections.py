"""Operators on task vectors that are no pipeline, against slow plain versions of their papers' formulas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import pytest
import torch
from torch import Tensor

from search_spaces.recipes.rule import Parameter
from tests.search_spaces.operators.merging import merge, random_tensors, rule_of

SHAPE = (7, 9)


def parents(n: int, *, scale: float = 0.01, shape: tuple[int, ...] = SHAPE) -> tuple[list[Tensor], Tensor]:
    base, *noise = random_tensors(n + 1, shape)
    return [base + scale * delta for delta in noise], base


def columns(tensors: Sequence[Tensor], base: Tensor) -> list[list[float]]:
    """The task vectors, as Python numbers."""
    return [(tensor - base).flatten().tolist() for tensor in tensors]


def inputs(*weights: float) -> list[dict[str, Parameter]]:
    return [{"weight": weight} for weight in weights]


def expect(base: Tensor, delta: Sequence[float], merged: Tensor, *, atol: float = 1e-6) -> None:
    torch.testing.assert_close(merged, base + torch.tensor(delta).view(base.shape), rtol=0, atol=atol)


@pytest.mark.parametrize("mean_of", ["cosines", "angles"])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_model_stock_follows_the_papers_ratio(n: int, mean_of: str) -> None:
    base, common, *noise = random_tensors(n + 2, SHAPE)
    tensors = [base + 0.01 * (common + 0.7 * own) for own in noise]
    deltas = [torch.tensor(row).double() for row in columns(tensors, base)]
    cosines = [float(a @ b / (a.norm() * b.norm())) for a, b in combinations(deltas, 2)]
    angles = [math.acos(c) for c in cosines]
    cosine = sum(cosines) / len(cosines) if mean_of == "cosines" else math.cos(sum(angles) / len(angles))
    ratio = n * cosine / (1 + (n - 1) * cosine)
    merged = merge(rule_of("model_stock", *[{}] * n, mean_of=mean_of), tensors, base)
    expect(base, (ratio * sum(deltas) / n).tolist(), merged)  # type: ignore[union-attr]


def test_model_stock_of_parallel_task_vectors_is_their_mean_and_of_orthogonal_ones_the_base() -> None:
    base, delta = torch.zeros(4), torch.tensor([1.0, 2.0, 0.0, 0.0])
    other = torch.tensor([0.0, 0.0, 3.0, 1.0])
    torch.testing.assert_close(merge(rule_of("model_stock", {}, {}), [delta, delta], base), delta)
    assert merge(rule_of("model_stock", {}, {}), [delta, other], base).tolist() == [0.0] * 4


def test_model_stock_of_tiny_task_vectors_does_not_shrink_to_the_base() -> None:
    base, delta = torch.zeros(50), 1e-6 * torch.randn(50)
    torch.testing.assert_close(merge(rule_of("model_stock", {}, {}), [delta, delta], base), delta)


def test_model_stock_by_row_has_a_ratio_for_each_row() -> None:
    tensors, base = parents(2)
    whole = merge(rule_of("model_stock", {}, {}, filter_wise=True, clamp=False), tensors, base)
    rows = [
        merge(rule_of("model_stock", {}, {}, clamp=False), [t[i] for t in tensors], base[i]) for i in range(SHAPE[0])
    ]
    torch.testing.assert_close(whole, torch.stack(rows))


def slow_sce(deltas: list[list[float]], share: float, *, select: str) -> list[float]:
    n = len(deltas)
    means = [sum(column) / n for column in zip(*deltas, strict=True)]
    variances = [sum((x - m) ** 2 for x in c) / n for c, m in zip(zip(*deltas, strict=True), means, strict=True)]
    k = int(sum(v > 0 for v in variances) * share)
    chosen = set(sorted(range(len(means)), key=lambda j: (-variances[j], j))[:k])
    masked = [[x if j in chosen else 0.0 for j, x in enumerate(row)] for row in deltas]
    energies = [sum(x * x for x in row) for row in masked]
    shares = [e / sum(energies) for e in energies]
    merged = []
    for column in zip(*(masked if select == "elements" else deltas), strict=True):
        sign = 1 if sum(column) >= 0 else -1
        agree = [(s, x) for s, x in zip(shares, column, strict=True) if x * sign > 0]
        merged.append(sum(s * x for s, x in agree) / sum(s for s, _ in agree) if agree else 0.0)
    return merged


@pytest.mark.parametrize("select", ["elements", "weights"])
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("scale", [0.01, 1e-4])
def test_sce_follows_its_formula_also_for_the_small_changes_of_fine_tuning(
    share: float, select: str, scale: float
) -> None:
    tensors, base = parents(3, scale=scale)
    tensors[1] = base + 2 * (tensors[1] - base)  # energies that differ
    merged = merge(rule_of("sce", {}, {}, {}, select_topk=share, select=select), tensors, base)
    expect(base, slow_sce(columns(tensors, base), share, select=select), merged, atol=1e-6 if scale == 0.01 else 2e-7)


def test_sce_of_one_parent_is_that_parent_and_of_no_elements_the_base() -> None:
    tensors, base = parents(2)
    torch.testing.assert_close(merge(rule_of("sce", {}, select_topk=0.1), tensors[:1], base), tensors[0])
    assert torch.equal(merge(rule_of("sce", {}, {}, select_topk=0.0), tensors, base), base)


def test_magmax_takes_the_largest_change_and_of_equals_the_last() -> None:
    a, b = torch.tensor([1.0, -4.0, 2.0]), torch.tensor([-3.0, 1.0, -2.0])
    assert merge(rule_of("magmax", {}, {}), [a, b], torch.zeros(3)).tolist() == [-3.0, -4.0, -2.0]


def test_weights_of_magmax_scale_what_wins_unless_they_are_priorities_only() -> None:
    a, b, zero = torch.tensor([1.0, -4.0]), torch.tensor([-3.0, 1.0]), torch.zeros(2)
    assert merge(rule_of("magmax", *inputs(4.0, 1.0)), [a, b], zero).tolist() == [4.0, -16.0]
    assert merge(rule_of("magmax", *inputs(4.0, 1.0), priority_only=True), [a, b], zero).tolist() == [1.0, -4.0]


def minmax(values: list[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(v - low) / (high - low) if high > low else 0.0 for v in values]


def slow_pcb(deltas: list[list[float]], weights: list[float], *, ratio: float, clip: float, cross: str) -> list[float]:
    n_parents, n = len(deltas), len(deltas[0])
    clipped = []
    for row in deltas:
        order = sorted(map(abs, row))
        low, high = order[int(clip * (n - 1))], order[int((1 - clip) * (n - 1))]
        clipped.append([math.copysign(min(max(abs(x), low), high), x) for x in row])
    sums = [sum(column) for column in zip(*deltas, strict=True)]
    if cross == "signs":
        scaled = [minmax([abs(x) for x in row]) for row in clipped]
        sums = [
            sum(math.copysign(s, x) for s, x in zip(ss, xs, strict=True))
            for ss, xs in zip(zip(*scaled, strict=True), zip(*deltas, strict=True), strict=True)
        ]
    worths = []
    for row, kept in zip(deltas, clipped, strict=True):
        within = [math.exp(n_parents * v * v) for v in minmax([abs(x) for x in kept])]
        product = [w * math.tanh(x * s) for w, x, s in zip(within, row, sums, strict=True)]
        floor = sorted(product)[n - max(1, int(ratio * n + 1e-9)) - 1]
        worths.append(minmax([max(p, floor) for p in product]))
    return [
        sum(w * x * s for w, x, s in zip(weights, xs, ss, strict=True)) / max(sum(ss), 1e-12)
        for xs, ss in zip(zip(*clipped, strict=True), zip(*worths, strict=True), strict=True)
    ]


@pytest.mark.parametrize("cross", ["sum", "signs"])
@pytest.mark.parametrize(("ratio", "clip"), [(0.1, 0.01), (0.5, 0.0), (0.3, 0.1)])
def test_pcb_follows_the_released_steps(ratio: float, clip: float, cross: str) -> None:
    tensors, base = parents(3, scale=0.1)
    weights = [1.0, 0.8, 1.2]
    merged = merge(rule_of("pcb", *inputs(*weights), ratio=ratio, clip=clip, cross=cross), tensors, base)
    expected = slow_pcb(columns(tensors, base), weights, ratio=ratio, clip=clip, cross=cross)
    expect(base, expected, merged, atol=2e-5)


def test_pcb_keeps_the_asked_for_share_of_one_parent() -> None:
    tensors, base = parents(1, shape=(100, 10))
    merged = merge(rule_of("pcb", {}, ratio=0.1), tensors, base)
    assert int((merged != base).sum()) == 100


@pytest.mark.parametrize("k", [0, 1, 2, 3])
def test_consensus_merges_what_enough_parents_claim(k: int) -> None:
    tensors, base = parents(3)
    expected = []
    for column in zip(*columns(tensors, base), strict=True):
        total = sum(column)
        claims = sum(abs(x) > 0.5 * abs(total - x) for x in column)
        expected.append(total if claims >= k else 0.0)
    expect(base, expected, merge(rule_of("consensus_ta", {}, {}, {}, mask_threshold=0.5, agreement=k), tensors, base))


def test_one_parent_claims_everything_that_it_changed() -> None:
    tensors, base = parents(1)
    merged = merge(rule_of("consensus_ta", {}, mask_threshold=0.6, agreement=1), tensors, base)
    torch.testing.assert_close(merged, tensors[0])


def test_consensus_ties_claims_against_the_sum_of_ties() -> None:
    tensors, base = parents(3)
    plain = rule_of("ties", *[{"weight": 1.0, "density": 0.2}] * 3, normalize=False)
    total = merge(plain, tensors, torch.zeros(SHAPE) + base) - base
    claims = sum(((t - base).abs() > 0.4 * (total - (t - base)).abs()).int() for t in tensors)
    merged = merge(rule_of("consensus_ties", {}, {}, {}), tensors, base)
    torch.testing.assert_close(merged, base + total * (claims >= 2), rtol=0, atol=1e-6)


def test_nearswap_moves_small_differences_fully_and_large_ones_by_t() -> None:
    base, other = torch.tensor([1.0, 1.0, 1.0]), torch.tensor([1.05, 2.0, 0.0])
    torch.testing.assert_close(merge(rule_of("nearswap", {}, t=0.1), [other], base), torch.tensor([1.05, 1.1, 0.9]))


def test_arcee_fusion_keeps_what_is_important_by_change_and_divergence() -> None:
    (a,), base = parents(1, scale=0.1, shape=(12, 8))
    ours, theirs = torch.softmax(a.double(), -1), torch.softmax(base.double(), -1)
    importance = (a - base).abs() * (ours * (ours / theirs).log()).sum(-1, keepdim=True)
    ranks = importance.flatten().sort().values
    quartiles = [float(ranks[int(q * 95)]) for q in (0.25, 0.5, 0.75)]
    kept = importance >= quartiles[1] + 1.0 * (quartiles[2] - quartiles[0])
    merged = merge(rule_of("arcee_fusion", {}, iqr_factor=1.0), [a], base)
    torch.testing.assert_close(merged, torch.where(kept, a, base))


def test_ram_averages_what_is_shared_and_keeps_what_is_unique() -> None:
    deltas = [torch.tensor(row) for row in ([1.0, 2.0, 0.0, 4.0], [3.0, 0.0, 0.0, 2.0])]
    assert merge(rule_of("ram", {}, {}), deltas, torch.zeros(4)).tolist() == [2.0, 2.0, 0.0, 3.0]


def test_ramplus_enlarges_what_is_unique_by_what_is_shared() -> None:
    deltas = [torch.tensor(row) for row in ([1.0, 2.0, 0.0, 4.0, 0.0], [3.0, 0.0, 8.0, 2.0, 6.0])]
    merged = merge(rule_of("ramplus_tl", {}, {}, r=0.5, alpha=1.5), deltas, torch.zeros(5))
    # Parent 0: two shared to one unique, counted as 1.5; parent 1: two to two.
    assert merged.tolist() == pytest.approx([2.0, 2.0 * 1.75, 8.0 * 1.5, 3.0, 6.0 * 1.5])
