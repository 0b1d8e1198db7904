"""What the kernels draw, all at once: the oracle of random masks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from search_spaces.operators.kernels.counter import bits_at, segments, uniform_at, words


def uniform(seed: int, shape: Sequence[int]) -> Tensor:
    """Return random numbers in [0, 1), one for each element of a shape; 64 bits of the seed count."""
    numbers = torch.empty(math.prod(shape), dtype=torch.float32)
    for number, start, stop in segments(numbers.numel()):
        index = torch.arange(stop - start, dtype=torch.int32)
        numbers[start:stop] = uniform_at(bits_at(index, *words(seed, number)))
    return numbers.view(tuple(shape))
