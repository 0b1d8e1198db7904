"""Random numbers by position: the number of an element depends on a seed and its flat index alone.

So a mask is the same whatever the order, the worker or the chunking, and it is made where it is used, without state.
An index goes through an invertible 32-bit mix (xor-shifts and odd multipliers, after C. Wellons' "lowbias32"), into
which the seed's two words are added at the beginning and half way; the upper 23 bits are the number. Two rounds are
enough for masks: pairs of numbers at a fixed distance are as frequent as chance has it, to about one per cent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

# Longer tensors are numbered in segments, each with words of its own, so that indices stay 32-bit.
SEGMENT = 1 << 30
_WORD = 1 << 32
_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio
_MULTIPLIERS = (0x7FEB352D, 0x846CA68B - _WORD)


def segments(n: int) -> Iterator[tuple[int, int, int]]:
    """Yield (number, start, stop) of each segment of n elements; none of an empty tensor."""
    for number, start in enumerate(range(0, n, SEGMENT)):
        yield number, start, min(start + SEGMENT, n)


@lru_cache(maxsize=4096)
def words(seed: int, segment: int) -> tuple[int, int]:
    """Return a seed's two words for one segment, as signed 32-bit integers."""
    # The output function of splitmix64 (Steele et al. 2014): seeds that are near each other get words that are not.
    z = (seed + (segment + 1) * _GOLDEN) % _WORD**2
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % _WORD**2
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % _WORD**2
    z ^= z >> 31
    return _signed(z), _signed(z >> 32)


def bits_at(index: Tensor, first: Tensor | int, second: Tensor | int) -> Tensor:
    """Return 23 random bits, int32, for each of some indices of a segment (int32, not negative), given its `words`."""
    x = index + first
    x = x.bitwise_xor_((x >> 16).bitwise_and_(0xFFFF)).mul_(_MULTIPLIERS[0]).add_(second)
    # A last xor-shift would mix low bits, which are not used.
    x = x.bitwise_xor_((x >> 15).bitwise_and_(0x1FFFF)).mul_(_MULTIPLIERS[1])
    return x.bitwise_right_shift_(9).bitwise_and_(0x7FFFFF)


def uniform_at(bits: Tensor) -> Tensor:
    """Return `bits_at` as float32 multiples of 2^-23 in [0, 1)."""
    if torch.compiler.is_compiling():
        return bits.to(torch.float32) * 2.0**-23
    # The same numbers: with the exponent of 1 they are in [1, 2). Converting integers takes torch several times as
    # long; in compiled code it is one instruction, and a view goes through memory.
    return (bits | 0x3F800000).view(torch.float32) - 1.0


@lru_cache(maxsize=4096)
def bits_below(chance: float) -> int:
    """Return b such that `bits_at` < b exactly where `uniform_at` < chance in float32."""
    return math.ceil(torch.tensor(chance, dtype=torch.float32).item() * 2.0**23)


def _signed(word: int) -> int:
    word %= _WORD
    return word - _WORD if word >= _WORD // 2 else word
