"""WUDI and OptMerge against descents of the papers' loss, written out and differentiated by autograd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.search_spaces.operators.spectral import plain
from tests.search_spaces.operators.spectral.merged import random_deltas, tau

SHAPES = [(9, 6), (4, 14), (7, 7)]
WEIGHTS = (0.5, 1.5, -0.75)
INPUTS = [{"weight": weight} for weight in WEIGHTS]
STARTS = {"mean": 1 / 3, "sum": 1.0}


def cut(delta: Tensor, rank: int) -> Tensor:
    return torch.from_numpy(plain.truncated(delta.numpy(), 0, rank))


def loss(tau: Tensor, deltas: Sequence[Tensor], cuts: Sequence[Tensor]) -> Tensor:
    terms = [
        ((tau - weight * cut) @ cut.T).square().sum() / delta.square().sum()
        for weight, delta, cut in zip(WEIGHTS, deltas, cuts, strict=True)
    ]
    return torch.stack(terms).sum()


def gradient(point: Tensor, deltas: Sequence[Tensor], cuts: Sequence[Tensor]) -> Tensor:
    with torch.enable_grad():
        point = point.detach().requires_grad_()
        return torch.autograd.grad(loss(point, deltas, cuts), point)[0]


def stepped(
    stepper: torch.optim.Optimizer, point: Tensor, n: int, deltas: Sequence[Tensor], cuts: Sequence[Tensor]
) -> Tensor:
    for _ in range(n):
        point.grad = gradient(point, deltas, cuts)
        stepper.step()
    return point.detach()


def arrived(start: Tensor, deltas: Sequence[Tensor], cuts: Sequence[Tensor]) -> Tensor:
    """Descend until nothing moves, with a line search."""
    point = start.clone().requires_grad_()
    how: dict[str, Any] = {"max_iter": 2000, "tolerance_grad": 1e-12, "tolerance_change": 0.0, "history_size": 50}
    stepper = torch.optim.LBFGS([point], line_search_fn="strong_wolfe", **how)

    def closure() -> Tensor:
        point.grad = gradient(point, deltas, cuts)
        return loss(point, deltas, cuts).detach()

    stepper.step(closure)  # type: ignore[no-untyped-call]
    return point.detach()


def flown(start: Tensor, deltas: Sequence[Tensor], time: float, n: int) -> Tensor:
    """Follow the gradient flow of half the loss in n steps of Runge and Kutta."""
    step, point = time / n, start

    def slope(point: Tensor) -> Tensor:
        return -gradient(point, deltas, deltas) / 2

    for _ in range(n):
        first = slope(point)
        second = slope(point + step / 2 * first)
        third = slope(point + step / 2 * second)
        last = slope(point + step * third)
        point = point + step / 6 * (first + 2 * second + 2 * third + last)
    return point


def start_of(initial: str, deltas: Sequence[Tensor]) -> Tensor:
    return STARTS[initial] * torch.stack([w * delta for w, delta in zip(WEIGHTS, deltas, strict=True)]).sum(0)


@pytest.mark.parametrize("initial", STARTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_closed_form_is_where_a_long_descent_arrives(shape: tuple[int, int], initial: str) -> None:
    deltas = random_deltas(3, shape)
    merged = tau("wudi", deltas, *INPUTS, cut=1e-12, initial=initial)
    torch.testing.assert_close(merged, arrived(start_of(initial, deltas), deltas, deltas), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("shape", "initial"), [((9, 6), "mean"), ((4, 14), "sum")])
def test_a_spectral_time_is_the_gradient_flow_in_many_small_steps(shape: tuple[int, int], initial: str) -> None:
    deltas = random_deltas(3, shape)
    merged = tau("wudi", deltas, *INPUTS, solver="time", time=8.0, initial=initial)
    torch.testing.assert_close(merged, flown(start_of(initial, deltas), deltas, 8.0, 100), rtol=0, atol=1e-6)
    start = tau("wudi", deltas, *INPUTS, solver="time", time=0.0, initial=initial)
    torch.testing.assert_close(start, start_of(initial, deltas))


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_published_iterations_are_those_of_a_slow_loop(solver: str) -> None:
    deltas, rate = [delta.float() for delta in random_deltas(3, (8, 11))], 1e-3
    point = start_of("sum", deltas)
    adam = torch.optim.Adam([point], lr=rate)
    stepper = adam if solver == "adam" else torch.optim.SGD([point], lr=rate, momentum=0.9)
    merged = tau("wudi", deltas, *INPUTS, solver=solver, rate=rate, iterations=50, initial="sum")
    torch.testing.assert_close(merged, stepped(stepper, point, 50, deltas, deltas), rtol=0, atol=2e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_optmerge_cuts_targets_and_inputs_to_the_rank_and_keeps_the_whole_norm_and_start(
    shape: tuple[int, int],
) -> None:
    deltas = random_deltas(3, shape)
    cuts, start = [cut(delta, max(1, min(shape) // 3)) for delta in deltas], start_of("mean", deltas)
    merged = tau("optmerge", deltas, *INPUTS, cut=1e-12)
    torch.testing.assert_close(merged, arrived(start, deltas, cuts), rtol=0, atol=1e-6)
    stepper = torch.optim.SGD([start], lr=0.02, momentum=0.9)
    merged = tau("optmerge", deltas, *INPUTS, solver="sgd", rate=0.02, iterations=30)
    torch.testing.assert_close(merged, stepped(stepper, start, 30, deltas, cuts), rtol=0, atol=1e-9)


def test_the_rank_share_of_wudi_does_not_depend_on_the_number_of_parents() -> None:
    deltas = random_deltas(3, (9, 6))
    torch.testing.assert_close(tau("wudi", deltas, rank_share=1 / 3), tau("optmerge", deltas))


def test_directions_below_the_cut_keep_the_start_and_the_others_arrive() -> None:
    deltas, at = random_deltas(3, (9, 6)), 0.4
    h = torch.stack([delta.T @ delta / delta.square().sum() for delta in deltas]).sum(0)
    e, v = torch.linalg.eigh(h)
    near, far = v[:, e > at * e.max()], v[:, e <= at * e.max()]
    assert near.numel()
    assert far.numel()
    merged, arrived = tau("wudi", deltas, cut=at), tau("wudi", deltas, cut=1e-12)
    torch.testing.assert_close(merged @ near, arrived @ near, rtol=0, atol=1e-9)
    torch.testing.assert_close(merged @ far, torch.stack(deltas).mean(0) @ far, rtol=0, atol=1e-9)


@given(
    o=st.integers(2, 12),
    n=st.integers(2, 12),
    copies=st.integers(1, 4),
    solver=st.sampled_from(["cut", "time"]),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=40)
def test_a_lone_parent_and_equal_ones_give_themselves(o: int, n: int, copies: int, solver: str, seed: int) -> None:
    (delta,) = random_deltas(1, (o, n), seed=seed)
    merged = tau("wudi", [delta] * copies, solver=solver)
    torch.testing.assert_close(merged, delta, rtol=0, atol=1e-7)


@pytest.mark.parametrize("solver", ["cut", "time"])
def test_a_parent_that_equals_the_base_asks_for_nothing(solver: str) -> None:
    delta, zero = random_deltas(1, (8, 5))[0], torch.zeros(8, 5, dtype=torch.float64)
    merged = tau("wudi", [delta, zero], solver=solver, time=1e6, cut=1e-6)
    torch.testing.assert_close(merged, delta, rtol=0, atol=1e-6)


def test_task_vectors_that_read_orthogonal_inputs_are_added() -> None:
    (v,) = random_deltas(1, (12, 12))
    q = torch.linalg.qr(v).Q
    deltas = [left @ rows for left, rows in zip(random_deltas(3, (9, 1)), (q[:1], q[1:2], q[2:3]), strict=True)]
    torch.testing.assert_close(tau("wudi", deltas), torch.stack(deltas).sum(0), rtol=0, atol=1e-9)
    noisy = [delta.float() for delta in deltas]  # rounding fills the null space: it must not be solved for
    merged = tau("wudi", noisy, solver="time", time=1e9)
    torch.testing.assert_close(merged, torch.stack(noisy).sum(0), rtol=0, atol=1e-4)
