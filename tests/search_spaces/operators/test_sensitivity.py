from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.search_spaces.operators.with_statistics import merged, normal

known = st.lists(st.tuples(st.floats(0.01, 1.0), st.floats(0.1, 9.0)), min_size=1, max_size=4)


@given(known=known, temperature=st.floats(0.02, 5.0), transfer=st.sampled_from([-1.0, 0.0, 0.5, 1.0]))
@settings(deadline=None, max_examples=40)
def test_it_is_task_arithmetic_weighted_by_a_softmax_of_sensitivities(
    known: list[tuple[float, float]], temperature: float, transfer: float
) -> None:
    deltas = [normal(3, 4, seed=i) for i in range(len(known))]
    far = [t**transfer for _, t in known]
    exponentials = [math.exp(alpha * t / sum(far) / temperature) for (alpha, _), t in zip(known, far, strict=True)]
    expected = sum(len(known) * e / sum(exponentials) * 0.7 * d for e, d in zip(exponentials, deltas, strict=True))
    found = merged(
        "sens_merging",
        deltas,
        {"sensitivity": [torch.tensor(each) for each in known]},
        inputs=[{"weight": 0.7}] * len(known),
        temperature=temperature,
        transfer=transfer,
    )
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("statistic", [None, torch.tensor(0.3), torch.tensor([0.3, 0.0])])
def test_parents_that_do_not_differ_or_are_not_known_count_alike(statistic: torch.Tensor | None) -> None:
    deltas = [normal(3, 4, seed=i) for i in range(3)]
    found = merged("sens_merging", deltas, {"sensitivity": [statistic] * 3})
    torch.testing.assert_close(found.double(), sum(deltas))


def test_a_parent_of_weight_0_takes_no_part_in_the_softmax() -> None:
    deltas = [normal(3, 4, seed=i) for i in range(3)]
    sensitive = [torch.tensor([0.2, 1.0]), torch.tensor([0.9, 2.0]), torch.tensor([0.5, 3.0])]
    inputs = [{"weight": w} for w in (0.5, 0.0, 0.5)]
    found = merged("sens_merging", deltas, {"sensitivity": sensitive}, inputs=inputs, temperature=0.1)
    without = merged("sens_merging", deltas[::2], {"sensitivity": sensitive[::2]}, inputs=inputs[::2], temperature=0.1)
    assert torch.equal(found, without)


def test_normalised_equal_parents_come_back() -> None:
    parent = normal(3, 4)
    sensitive = [torch.tensor([0.2 + i, 1.0]) for i in range(3)]
    found = merged("sens_merging", [parent] * 3, {"sensitivity": sensitive}, temperature=0.5, normalize=True)
    torch.testing.assert_close(found, parent.float())
