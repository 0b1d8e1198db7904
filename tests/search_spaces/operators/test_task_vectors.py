from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.operators.kernels.threshold import Trim
from search_spaces.operators.registry import find_operator
from search_spaces.recipes.rule import Parameter
from tests.search_spaces.operators.merging import merge, operands_of, random_tensors, rule_of

SHAPE = (60, 50)


def parents(n: int, *, scale: float = 0.01) -> tuple[list[Tensor], Tensor]:
    base, *noise = random_tensors(n + 1, SHAPE)
    return [base + scale * delta for delta in noise], base


def slow_ties(
    tensors: Sequence[Tensor], base: Tensor, weights: Sequence[float], density: float, *, normalize: bool
) -> Tensor:
    """Algorithm 1 of the paper with weights, element by element in Python and float64."""
    deltas = []
    for tensor in tensors:
        delta = (tensor - base).flatten().double()
        order = sorted(range(delta.numel()), key=lambda i: (-abs(float(delta[i])), i))
        kept = torch.zeros_like(delta)
        k = int(density * delta.numel() + 1e-9)
        kept[order[:k]] = delta[order[:k]]
        deltas.append(kept.tolist())
    merged = []
    for column in zip(*deltas, strict=True):
        votes = [w * x for w, x in zip(weights, column, strict=True)]
        sign = 1 if sum(votes) >= 0 else -1
        agree = [(v, w) for v, w in zip(votes, weights, strict=True) if v * sign > 0]
        mass = sum(w for _, w in agree) if normalize else 1.0
        merged.append(sum(v for v, _ in agree) / mass if agree else 0.0)
    return base + torch.tensor(merged).view(base.shape)


def test_task_arithmetic_adds_weighted_task_vectors() -> None:
    (a, b), base = parents(2)
    merged = merge(rule_of("task_arithmetic", {"weight": 0.5}, {"weight": -0.3}, lambda_=0.7), [a, b], base)
    torch.testing.assert_close(merged, base + 0.7 * (0.5 * (a - base) - 0.3 * (b - base)))


def test_task_arithmetic_with_normalize_divides_by_the_weights() -> None:
    (a, b), base = parents(2)
    merged = merge(rule_of("task_arithmetic", {"weight": 2.0}, {"weight": 2.0}, normalize=True), [a, b], base)
    torch.testing.assert_close(merged, (a + b) / 2)


def test_task_arithmetic_does_not_divide_by_weights_that_cancel() -> None:
    (a, b), base = parents(2)
    merged = merge(rule_of("task_arithmetic", {"weight": 1.0}, {"weight": -1.0}, normalize=True), [a, b], base)
    torch.testing.assert_close(merged, base + a - b)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("density", [0.1, 0.35, 1.0])
def test_ties_agrees_with_the_papers_algorithm(density: float, normalize: bool) -> None:
    tensors, base = parents(4)
    weights = [0.5, 1.0, 0.25, 0.8]
    rule = rule_of("ties", *({"weight": w, "density": density} for w in weights), normalize=normalize)
    expected = slow_ties(tensors, base, weights, density, normalize=normalize)
    torch.testing.assert_close(merge(rule, tensors, base), expected.float(), rtol=0, atol=1e-6)


def test_ties_of_one_parent_at_full_density_is_that_parent() -> None:
    (a,), base = parents(1)
    torch.testing.assert_close(merge(rule_of("ties", {"weight": 0.7}), [a], base), a, rtol=0, atol=1e-6)


def test_ties_of_opposite_equal_task_vectors_elects_plus() -> None:
    base, delta = torch.zeros(4), torch.tensor([1.0, -2.0, 3.0, 0.0])
    merged = merge(rule_of("ties", {"weight": 1.0}, {"weight": 1.0}), [delta, -delta], base)
    assert merged.tolist() == [1.0, 2.0, 3.0, 0.0]


def test_ties_with_weights_that_nearly_cancel_stays_of_the_order_of_its_task_vectors() -> None:
    delta = torch.tensor([1.0, -1.0])
    rule = rule_of("ties", {"weight": 1.0}, {"weight": -0.9999})
    assert merge(rule, [delta, -delta], torch.zeros(2)).abs().max() <= 1.0  # a plain division would give 20,000


def test_dare_is_unbiased() -> None:
    (a,), base = parents(1, scale=1.0)
    rule = rule_of("dare_linear", {"weight": 1.0, "density": 0.3})
    n = 2000
    mean = sum(
        (merge(rule, [a], base, seed=seed).double() for seed in range(n)), torch.zeros(SHAPE, dtype=torch.float64)
    )
    # Standard error of an element: |δ|·sqrt((1 - d)/(d·n)); six of them over 3,000 elements is never.
    bound = 6 * (a - base).abs() * (0.7 / 0.3 / n) ** 0.5 + 1e-5
    assert bool(((mean / n - a).abs() < bound).all())


def test_dare_masks_are_nested_over_densities() -> None:
    (a,), base = parents(1)
    few, many = (merge(rule_of("dare_linear", {"weight": 1.0, "density": d}), [a], base) != base for d in (0.2, 0.7))
    assert bool((few <= many).all())
    assert int(few.sum()) < int(many.sum()) < few.numel()


@pytest.mark.parametrize(("rescale", "gain"), [("density", 2.0), ("none", 1.0)])
def test_dare_multiplies_survivors_by_its_gain(rescale: str, gain: float) -> None:
    (a,), base = parents(1)
    merged = merge(rule_of("dare_linear", {"weight": 1.0, "density": 0.5}, rescale=rescale), [a], base)
    survivors = merged != base
    torch.testing.assert_close((merged - base)[survivors], gain * (a - base)[survivors], rtol=1e-3, atol=1e-6)


def test_dare_can_restore_the_l1_norm() -> None:
    (a,), base = parents(1)
    merged = merge(rule_of("dare_linear", {"weight": 1.0, "density": 0.1}, rescale="l1"), [a], base)
    assert float((merged - base).abs().sum()) == pytest.approx(float((a - base).abs().sum()), rel=1e-4)


@pytest.mark.parametrize("operator", ["dare_linear", "dare_ties"])
@pytest.mark.parametrize("shape", [(1023,), (1, 5)])
def test_dare_keeps_small_tensors_whole(operator: str, shape: tuple[int, ...]) -> None:
    base, delta = random_tensors(2, shape)
    rule = rule_of(operator, {"weight": 1.0, "density": 0.1})
    torch.testing.assert_close(merge(rule, [base + delta], base), base + delta)


def test_parents_of_one_dare_merge_have_masks_of_their_own() -> None:
    (a,), base = parents(1)
    half: dict[str, Parameter] = {"weight": 1.0, "density": 0.5}
    kept = merge(rule_of("dare_linear", half, half, rescale="none"), [a, a], base) - base
    shares = (kept / (a - base)).round()
    assert {float(share) for share in shares.unique()} == {0.0, 1.0, 2.0}  # neither, one, both


FULL: dict[str, Parameter] = {"weight": 1.0}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"normalize": True}, [2.0, -3.0, 4.0]),  # weights 1, 1, 2: (1·1 + 2·2.5)/3, (-3·1)/1, ...
        ({"normalize": False}, [6.0, -3.0, 8.0]),
        ({"normalize": True, "divisor": "agreeing"}, [3.0, -3.0, 8.0]),
        ({"normalize": True, "divisor": "parents"}, [2.0, -1.0, 8.0 / 3.0]),
    ],
)
def test_what_ties_divides_by_is_a_choice(choice: dict[str, Parameter], expected: list[float]) -> None:
    deltas = [torch.tensor(row) for row in ([1.0, -3.0, 0.0], [-1.0, 0.0, -1.0], [2.5, 0.0, 4.0])]
    rule = rule_of("ties", FULL, FULL, {"weight": 2.0}, **choice)
    assert merge(rule, deltas, torch.zeros(3)).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(("choice", "first"), [("plus", 1.0), ("majority", -1.0), ("drop", 0.0)])
def test_the_sign_of_a_vote_that_sums_to_zero_is_a_choice(choice: str, first: float) -> None:
    ours, theirs = torch.tensor([1.0, -1.0, -2.0, 0.0]), torch.tensor([-1.0, -3.0, -1.0, 0.0])
    merged = merge(rule_of("ties", FULL, FULL, zero_sign=choice), [ours, theirs], torch.zeros(4))
    assert merged.tolist() == [first, -2.0, -1.5, 0.0]


def test_ties_over_the_whole_model_uses_the_models_thresholds() -> None:
    tensors, base = parents(2)
    rule = rule_of("ties", {**FULL, "density": 0.2}, {**FULL, "density": 0.5}, scope="global")
    operands = replace(operands_of(rule, tensors, base), global_trims=lambda i, density: Trim(density / 100, -1))
    kept = [(t - base) * ((t - base).abs() > threshold) for t, threshold in zip(tensors, (0.002, 0.005), strict=True)]
    expected = merge(rule_of("ties", FULL, FULL), [base + delta for delta in kept], base)
    torch.testing.assert_close(find_operator("ties").merge(operands), expected, rtol=0, atol=1e-6)
    with pytest.raises(SpaceError, match="scope: expected tensor where one tensor is merged alone, found global"):
        find_operator("ties").merge(replace(operands, global_trims=None))


def test_dare_ties_may_trim_what_is_left() -> None:
    (a,), base = parents(1)
    half: dict[str, Parameter] = {"weight": 1.0, "density": 0.5}
    dropped = merge(rule_of("dare_ties", half), [a], base) - base
    trimmed = merge(rule_of("dare_ties", half, second_trim=0.2), [a], base) - base
    assert int(trimmed.count_nonzero()) == a.numel() // 5
    assert torch.equal(trimmed[trimmed != 0.0], dropped[trimmed != 0.0])


def test_della_is_unbiased() -> None:
    (a,), base = parents(1, scale=1.0)
    rule = rule_of("della_linear", {"weight": 1.0, "density": 0.4, "epsilon": 0.2})
    n = 1500
    mean = sum((merge(rule, [a], base, seed=seed).double() for seed in range(n)), torch.zeros(SHAPE).double()) / n
    # The smallest chance is 0.2: a standard error of |δ|·sqrt(0.8/(0.2·n)); six of them over 3,000 elements is never.
    assert bool(((mean - a).abs() < 6 * (a - base).abs() * (0.8 / 0.2 / n) ** 0.5 + 1e-5).all())


def test_della_keeps_large_changes_more_often_than_small_ones() -> None:
    (a,), base = parents(1)
    half: dict[str, Parameter] = {"weight": 1.0, "density": 0.5, "epsilon": 0.3}
    kept = merge(rule_of("della_linear", half, rescale="none"), [a], base) != base
    large = (a - base).abs() > (a - base).abs().median()
    assert float(kept.float().mean()) == pytest.approx(0.5, abs=0.03)
    assert float(kept[large].float().mean()) == pytest.approx(0.65, abs=0.04)


COMPOSED = {
    "task_arithmetic": {"sparsify": "none", "consensus": "sum"},
    "ties": {"sparsify": "magnitude", "consensus": "sign", "rescale": "none", "normalize": True},
    "dare_linear": {"sparsify": "random", "consensus": "sum"},
    "dare_ties": {"sparsify": "random", "consensus": "sign"},
    "della_linear": {"sparsify": "ranked", "consensus": "sum"},
    "della": {"sparsify": "ranked", "consensus": "sign", "normalize": True},
    "breadcrumbs": {"sparsify": "outliers", "consensus": "sum", "rescale": "none"},
    "breadcrumbs_ties": {"sparsify": "outliers", "consensus": "sign", "rescale": "none"},
}


@pytest.mark.parametrize("name", COMPOSED)
def test_the_named_pipelines_are_points_of_the_composed_one(name: str) -> None:
    tensors, base = parents(3)
    known = find_operator(name).input_parameters
    inputs: list[dict[str, Parameter]] = [
        {"weight": w, "density": d, "gamma": 0.02, "epsilon": 0.1} for w, d in ((0.5, 0.3), (1.0, 0.7), (0.8, 0.5))
    ]
    named = rule_of(name, *({n: v for n, v in values.items() if n in known} for values in inputs))
    composed = rule_of("composed", *inputs, **COMPOSED[name])  # type: ignore[arg-type]
    assert torch.equal(merge(composed, tensors, base), merge(named, tensors, base))


def test_composed_with_the_largest_is_magmax() -> None:
    tensors, base = parents(3)
    composed = rule_of("composed", FULL, FULL, FULL, consensus="largest")
    assert torch.equal(merge(composed, tensors, base), merge(rule_of("magmax", FULL, FULL, FULL), tensors, base))
