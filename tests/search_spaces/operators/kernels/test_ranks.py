from __future__ import annotations

import pytest
import torch
from torch import Tensor

from search_spaces.operators.kernels.ranks import doubled_ranks


def deltas(kind: str, shape: tuple[int, int]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    base, change = (torch.randn(shape, generator=generator) * scale for scale in (0.05, 0.001))
    return {
        "float32": change,
        "bfloat16": (base.bfloat16().float() + change).bfloat16().float() - base.bfloat16().float(),
        "few levels": (change * 1000).round(),
        "zero": torch.zeros(shape),
        "nearly equal": 1.0 + change,
        "descending": torch.linspace(1.0, 0.999, shape[1]).repeat(shape[0], 1),
        "infinite": change.masked_fill(change > 0.001, torch.inf),
    }[kind]


@pytest.mark.parametrize("width", [1, 2, 700, 2048, 2049])
@pytest.mark.parametrize(
    "kind", ["float32", "bfloat16", "few levels", "zero", "nearly equal", "descending", "infinite"]
)
def test_ranks_are_those_of_counting_smaller_and_equal_magnitudes(kind: str, width: int) -> None:
    delta = deltas(kind, (3, width))
    magnitudes = delta.abs().double()
    smaller = (magnitudes[:, None, :] < magnitudes[:, :, None]).sum(dim=2)
    equal = (magnitudes[:, None, :] == magnitudes[:, :, None]).sum(dim=2)
    assert doubled_ranks(delta).tolist() == (2 * smaller + equal - 1).tolist()
