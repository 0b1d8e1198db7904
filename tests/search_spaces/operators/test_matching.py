from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.operators.least_squares import least_squares
from tests.search_spaces.operators.with_statistics import gram, merged, normal


@given(o=st.integers(1, 5), n=st.integers(1, 5), seed=st.integers(0, 99), share=st.sampled_from([0.3, 1.0]))
@settings(deadline=None, max_examples=30)
def test_it_solves_the_dense_kronecker_system(o: int, n: int, seed: int, share: float) -> None:
    weights = [0.5, 1.0, 2.0]
    deltas = [normal(o, n, seed=seed + i) for i in range(3)]
    reads = [gram(normal(4 * n, n, seed=seed + 5 + i)) for i in range(3)]
    feels = [gram(normal(4 * o, o, seed=seed + 10 + i)) for i in range(3)]
    lessened = [share * a + (1 - share) * torch.diag(a.diagonal()) for a in reads]
    # vec by rows: vec(B X A) = (B ⊗ Aᵀ) vec(X)
    system = sum(w * torch.kron(b, a) for w, a, b in zip(weights, lessened, feels, strict=True))
    right = sum(w * (b @ d @ a) for w, a, b, d in zip(weights, lessened, feels, deltas, strict=True))
    assert isinstance(system, torch.Tensor)
    assert isinstance(right, torch.Tensor)
    expected = torch.linalg.solve(system, right.reshape(-1)).reshape(o, n)
    found = merged(
        "mats",
        deltas,
        {"gram": [a.float() for a in reads], "output_gram": [b.float() for b in feels]},
        inputs=[{"weight": w} for w in weights],
        off_diagonal=share,
    )
    torch.testing.assert_close(found.double(), expected, rtol=1e-2, atol=2e-3)


def test_with_all_outputs_alike_it_is_regmean_once_converged() -> None:
    parents, grams = [normal(4, 6, seed=i).float() for i in range(3)], [gram(normal(30, 6, seed=i)) for i in (5, 6, 7)]
    weights = [0.5, 1.0, 2.0]
    found = merged("mats", parents, {"gram": grams}, inputs=[{"weight": w} for w in weights], outputs=False)
    torch.testing.assert_close(found, least_squares(parents, grams, weights, 1.0, 1e-9), rtol=1e-3, atol=1e-4)


def test_experts_are_solved_together_and_apart() -> None:
    parents = [normal(3, 4, 5, seed=i) for i in range(2)]
    statistics = {
        "gram": [gram(normal(3, 20, 5, seed=i)) for i in (5, 6)],
        "output_gram": [gram(normal(3, 20, 4, seed=i)) for i in (7, 8)],
    }
    together = merged("mats", parents, statistics)
    for e in range(3):
        alone = merged(
            "mats", [p[e] for p in parents], {kind: [g[e] for g in all_] for kind, all_ in statistics.items()}
        )
        torch.testing.assert_close(together[e], alone, rtol=1e-3, atol=1e-3)


def test_no_step_leaves_the_start_and_each_step_more_lessens_the_error() -> None:
    deltas, base = [normal(4, 6, seed=i) for i in range(2)], normal(4, 6, seed=9)
    grams = [gram(normal(30, 6, seed=i)) for i in (5, 6)]
    parents = [base + d for d in deltas]

    def after(steps: int, start: str = "mean") -> torch.Tensor:
        given = {"iterations": steps, "start": start, "start_scale": 0.3, "outputs": False}
        return merged("mats", parents, {"gram": grams}, base=base, **given).double() - base  # type: ignore[arg-type]

    torch.testing.assert_close(after(0), (deltas[0] + deltas[1]) / 2, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(after(0, "sum"), 0.3 * (deltas[0] + deltas[1]), rtol=1e-5, atol=1e-6)

    def error(tau: torch.Tensor) -> float:
        return float(sum(((tau - d) @ a * (tau - d)).sum() for d, a in zip(deltas, grams, strict=True)))

    errors = [error(after(steps)) for steps in range(6)]
    assert all(b < a for a, b in itertools.pairwise(errors))


def test_directions_that_nobody_reads_stay_at_the_start() -> None:
    parents = [normal(4, 6, seed=i) for i in range(2)]
    reads = [normal(30, 6, seed=i) for i in (5, 6)]
    for x in reads:
        x[:, 3:] = 0.0
    found = merged("mats", parents, {"gram": [gram(x) for x in reads]}, outputs=False)
    torch.testing.assert_close(found[:, 3:].double(), ((parents[0] + parents[1]) / 2)[:, 3:])


@pytest.mark.parametrize("weights", [[0.0, 2.0, 0.0], [1.0, 1.0, 1.0]])
def test_a_parent_alone_and_equal_parents_come_back(weights: list[float]) -> None:
    parent = normal(3, 4, seed=1).float()
    parents = [parent] * 3 if weights[0] else [normal(3, 4, seed=9), parent, normal(3, 4, seed=8)]
    statistics = {"gram": [gram(normal(9, 4, seed=i)) for i in range(3)]}
    found = merged("mats", parents, statistics, inputs=[{"weight": w} for w in weights], outputs=False)
    assert torch.equal(found, parent)
