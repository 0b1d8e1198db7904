from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.operators.least_squares import least_squares
from tests.search_spaces.operators.with_statistics import gram, normal

TINY = 1e-10  # a ridge that changes nothing


def stacked_least_squares(parents: list[Tensor], read: list[Tensor], weights: list[float]) -> Tensor:
    """RegMean of (o, n) matrices from the activations themselves."""
    rows = [(weight / len(x)) ** 0.5 * x for weight, x in zip(weights, read, strict=True)]
    wanted = [x @ parent.T for x, parent in zip(rows, parents, strict=True)]
    solution: Tensor = torch.linalg.lstsq(torch.cat(rows), torch.cat(wanted)).solution
    return solution.T


@given(
    o=st.integers(1, 8),
    n=st.integers(1, 12),
    weights=st.lists(st.floats(0.1, 10.0), min_size=2, max_size=4),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=40)
def test_it_is_the_least_squares_solution_on_the_stacked_activations(
    o: int, n: int, weights: list[float], seed: int
) -> None:
    parents = [normal(o, n, seed=seed + 10 * i) for i in range(len(weights))]
    read = [normal(4 * n + i, n, seed=seed + 10 * i + 5) for i in range(len(weights))]
    merged = least_squares([p.float() for p in parents], [gram(x).float() for x in read], weights, 1.0, TINY)
    torch.testing.assert_close(merged.double(), stacked_least_squares(parents, read, weights), rtol=1e-4, atol=1e-5)


def test_a_ridge_draws_towards_the_weighted_mean() -> None:
    """Ridge regression is least squares with √η of every direction read by every parent in its share."""
    parents, read, weights = (
        [normal(5, 6, seed=i) for i in range(3)],
        [normal(9, 6, seed=i) for i in (7, 8, 9)],
        [1.0, 2, 3],
    )
    eta = 0.3 * sum(w * float(gram(x).diagonal().mean()) for w, x in zip(weights, read, strict=True))
    more = [
        torch.cat([x * (w / len(x)) ** 0.5, (eta * w / 6) ** 0.5 * torch.eye(6)])
        for w, x in zip(weights, read, strict=True)
    ]
    expected = stacked_least_squares(parents, more, [float(len(x)) for x in more])
    merged = least_squares(parents, [gram(x) for x in read], weights, 1.0, 0.3)
    torch.testing.assert_close(merged.double(), expected, rtol=1e-5, atol=1e-6)


def test_without_covariances_it_is_a_mean_of_columns_weighted_by_their_power() -> None:
    parents, read, weights = (
        [normal(4, 5, seed=i) for i in range(3)],
        [normal(8, 5, seed=i) for i in (7, 8, 9)],
        [0.5, 1, 2],
    )
    merged = least_squares(parents, [gram(x) for x in read], weights, 0.0, TINY)
    for column in range(5):
        powers = [w * float((x[:, column] ** 2).mean()) for w, x in zip(weights, read, strict=True)]
        expected = sum(power * p[:, column] for power, p in zip(powers, parents, strict=True)) / sum(powers)
        torch.testing.assert_close(merged[:, column].double(), expected, rtol=1e-6, atol=1e-6)


def test_off_diagonal_elements_count_by_their_share() -> None:
    parents, grams = [normal(4, 5, seed=i) for i in range(2)], [gram(normal(8, 5, seed=i)) for i in (7, 8)]
    lessened = [0.4 * g + 0.6 * torch.diag(g.diagonal()) for g in grams]
    expected = least_squares(parents, lessened, [1.0, 2.0], 1.0, TINY)
    torch.testing.assert_close(least_squares(parents, grams, [1.0, 2.0], 0.4, TINY), expected)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_parents_that_read_other_directions_all_keep_their_outputs(share: float) -> None:
    parents = [normal(5, 6, seed=i) for i in range(3)]
    read = []
    for i in range(3):
        x = torch.zeros(7, 6, dtype=torch.float64)
        x[:, 2 * i : 2 * i + 2] = normal(7, 2, seed=i + 9)
        read.append(x)
    merged = least_squares(parents, [gram(x) for x in read], [1.0, 1.0, 1.0], share, TINY).double()
    for parent, x in zip(parents, read, strict=True):
        torch.testing.assert_close(x @ merged.T, x @ parent.T, rtol=1e-5, atol=1e-5)


@given(weights=st.lists(st.floats(0.01, 10.0), min_size=1, max_size=4), share=st.floats(0, 1), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_equal_parents_come_back_bit_for_bit(weights: list[float], share: float, seed: int) -> None:
    parent = normal(4, 7, seed=seed).float()
    grams = [gram(normal(3, 7, seed=seed + i)).float() for i in range(len(weights))]  # singular
    assert torch.equal(least_squares([parent] * len(weights), grams, weights, share), parent)


def test_a_parent_with_all_the_weight_comes_back_bit_for_bit() -> None:
    parents, grams = [normal(4, 7, seed=i).float() for i in range(3)], [gram(normal(9, 7, seed=i)) for i in range(3)]
    assert torch.equal(least_squares(parents, grams, [0.0, 2.0, 0.0]), parents[1])


def test_a_weight_stored_the_other_way_round_is_merged_alike() -> None:
    parents, grams = [normal(4, 7, seed=i) for i in range(2)], [gram(normal(9, 7, seed=i)) for i in range(2)]
    expected = least_squares(parents, grams, [1.0, 2.0])
    turned = least_squares([p.T.contiguous() for p in parents], grams, [1.0, 2.0])
    assert turned.is_contiguous()
    torch.testing.assert_close(turned, expected.T)


@pytest.mark.parametrize("shared", [False, True])
def test_experts_are_merged_one_by_one(shared: bool) -> None:
    parents = [normal(3, 4, 5, seed=i) for i in range(2)]
    grams = [gram(normal(3, 8, 5, seed=i + 7)) for i in range(2)]
    grams = [g[0] for g in grams] if shared else grams
    merged = least_squares(parents, grams, [1.0, 2.0])
    for e in range(3):
        own = [g if shared else g[e] for g in grams]
        torch.testing.assert_close(merged[e], least_squares([p[e] for p in parents], own, [1.0, 2.0]))


def test_an_expert_that_no_token_reached_is_the_mean() -> None:
    parents, grams = [normal(2, 3, 4, seed=i) for i in range(2)], [gram(normal(2, 8, 4, seed=i)) for i in range(2)]
    for each in grams:
        each[1] = 0.0
    merged = least_squares(parents, grams, [1.0, 3.0])
    torch.testing.assert_close(merged[1].double(), 0.25 * parents[0][1] + 0.75 * parents[1][1])


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_keeps_its_outputs_where_its_parents_agree_on_them(groups: int) -> None:
    """Its inputs are patches: against least squares on the patches themselves."""
    images = [normal(3, 4, 6, 6, seed=i) for i in (7, 8)]
    parents = [normal(6, 4 // groups, 3, 3, seed=i) for i in range(2)]
    patches = [
        torch.nn.functional.unfold(x, 3).mT.reshape(-1, groups, 36 // groups).transpose(0, 1) for x in images
    ]  # (groups, positions, c / groups · 9)
    merged = least_squares(parents, [gram(x) for x in patches], [1.0, 2.0], 1.0, TINY)
    for g in range(groups):
        rows = [p.reshape(groups, 6 // groups, -1)[g] for p in parents]
        expected = stacked_least_squares(rows, [x[g] for x in patches], [1.0, 2.0])
        torch.testing.assert_close(merged.reshape(groups, 6 // groups, -1)[g].double(), expected, rtol=1e-4, atol=1e-5)


def test_a_gram_of_another_size_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"expected a Gram matrix that fits weights of shape \(4, 7\), found \(5, 5\)"):
        least_squares([normal(4, 7), normal(4, 7)], [torch.eye(5)] * 2, [1.0, 1.0])


def test_a_tiny_ridge_is_solved_as_well_as_float32_grams_allow() -> None:
    """Massive activations make the system ill-conditioned; kept products would be rounded too coarsely for it."""
    parents = [normal(6, 40, seed=i).float() for i in range(2)]
    read = [normal(200, 40, seed=i) * torch.logspace(2.5, -1, 40, dtype=torch.float64) for i in (7, 8)]
    grams = [gram(x).float() for x in read]
    exact = [g.double() for g in grams]
    eta = 1e-6 * float((exact[0] + exact[1]).diagonal().mean())
    right = sum(p.double() @ g for p, g in zip(parents, exact, strict=True)) + eta * (parents[0] + parents[1]) / 2
    expected = torch.linalg.solve(exact[0] + exact[1] + eta * torch.eye(40), right, left=False)
    torch.testing.assert_close(
        least_squares(parents, grams, [1.0, 1.0], 1.0, 1e-6).double(), expected, rtol=1e-4, atol=1e-4
    )


def test_eigenvalues_that_rounding_put_below_the_ridge_are_lifted_to_it() -> None:
    few = [normal(3, 64, seed=seed) * 100 for seed in (5, 6)]  # of rank 3 each, and no more in exact arithmetic
    grams = [(x.T @ x / 3).half().float() for x in few]  # rounded much more coarsely than float32 does
    parents = [normal(4, 64), normal(4, 64, seed=1)]
    total = (grams[0] + grams[1]).double()
    eta = 1e-9 * float(total.diagonal().mean())
    values, vectors = torch.linalg.eigh(total + eta * torch.eye(64))
    assert values.min() < 0.0
    inverse = vectors / values.clamp(min=eta) @ vectors.T
    difference = (parents[1] - parents[0]).double()
    expected = parents[0] + difference @ (grams[1].double() + eta / 2 * torch.eye(64)) @ inverse
    merged = least_squares(parents, grams, [1.0, 1.0], 1.0, 1e-9)
    torch.testing.assert_close(merged.double(), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
