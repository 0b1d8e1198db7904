"""Which dtype a model is computed in."""

from __future__ import annotations

import time

import pytest
import torch

from fitness.engine.model.compute_dtype import accelerated, dtype_on, fastest_dtype


def slowed(monkeypatch: pytest.MonkeyPatch, slow: torch.dtype) -> None:
    """Make products in one dtype slow, as on a CPU without units for it."""
    product = torch.nn.functional.linear

    def linear(rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        if weight.dtype == slow:
            time.sleep(0.05)
        return product(rows, weight)

    monkeypatch.setattr(torch.nn.functional, "linear", linear)


@pytest.mark.parametrize(
    ("slow", "expected"), [(torch.bfloat16, torch.float32), (torch.float32, torch.bfloat16)], ids=str
)
def test_the_dtype_that_is_much_faster_on_this_machine_is_chosen(monkeypatch, slow, expected):
    slowed(monkeypatch, slow)
    assert fastest_dtype([(512, 512)] * 4 + [(512,), (60000, 512)], torch.bfloat16, seconds=0.1) == expected


@pytest.mark.parametrize("shapes", [[], [(512,)], [(64, 64)] * 9])
def test_models_without_large_products_are_computed_in_float32(monkeypatch, shapes):
    slowed(monkeypatch, torch.float32)
    assert fastest_dtype(shapes, torch.bfloat16, seconds=0.1) == torch.float32


def test_a_gpu_computes_in_what_is_stored_where_it_can_and_a_cpu_in_float32() -> None:
    assert accelerated(torch.bfloat16, bfloat16=True) == torch.bfloat16
    assert accelerated(torch.bfloat16, bfloat16=False) == torch.float32
    assert accelerated(torch.float16, bfloat16=False) == torch.float16
    assert dtype_on(torch.device("cpu"), torch.bfloat16) == torch.float32
