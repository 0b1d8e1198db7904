from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.operators.kernels import counter
from tests.search_spaces.operators.uniform import uniform

N = 1 << 20
SEEDS = (0, 1, 2, 12345678901234567890, 2**64 - 1)


def slow_bits(index: int, first: int, second: int) -> int:
    """The definition in Python's unbounded integers."""
    word = 2**32
    x = (index + first) % word
    x = ((x ^ (x >> 16)) * 0x7FEB352D + second) % word
    x = ((x ^ (x >> 15)) * 0x846CA68B) % word
    return x >> 9


@given(index=st.integers(0, 2**30 - 1), seed=st.integers(0, 2**64 - 1), segment=st.integers(0, 5))
def test_numbers_are_those_of_unbounded_integers(index: int, seed: int, segment: int) -> None:
    first, second = counter.words(seed, segment)
    bits = counter.bits_at(torch.tensor([index], dtype=torch.int32), first, second)
    assert int(bits) == slow_bits(index, first, second)
    assert float(counter.uniform_at(bits)) == int(bits) / 2**23


@given(chance=st.floats(-0.5, 1.5), bits=st.lists(st.integers(0, 2**23 - 1), min_size=1))
def test_comparing_bits_is_comparing_numbers(chance: float, bits: list[int]) -> None:
    b = torch.tensor(bits, dtype=torch.int32)
    b[0] = min(2**23 - 1, max(0, int(chance * 2**23)))  # the border itself
    assert (b < counter.bits_below(chance)).equal(counter.uniform_at(b) < torch.tensor(chance))


@pytest.mark.parametrize("seed", SEEDS)
def test_numbers_fill_the_unit_interval_evenly(seed: int) -> None:
    numbers = uniform(seed, (N,))
    counts = torch.histc(numbers, bins=256, min=0.0, max=1.0)
    # χ² with 255 degrees of freedom: 400 is ten billion to one.
    assert float(((counts - N / 256) ** 2).sum() / (N / 256)) < 400
    assert float(numbers.min()) >= 0.0
    assert float(numbers.max()) < 1.0


@pytest.mark.parametrize("lag", [1, 2, 3, 16, 64, 576, 1536, 65536])
def test_neighbours_are_independent(lag: int) -> None:
    numbers = uniform(7, (N,)) - 0.5
    correlation = float((numbers[lag:] * numbers[:-lag]).mean() * 12)
    assert abs(correlation) < 5 / N**0.5
    pairs = torch.histc(
        (numbers[lag:] + 0.5).mul(16).floor() * 16 + (numbers[:-lag] + 0.5).mul(16).floor(), 256, 0, 256
    )
    # 16 x 16 cells of about 4,096 pairs each, with a standard deviation of 1.6 %.
    assert float((pairs / pairs.mean() - 1.0).abs().max()) < 0.09


@pytest.mark.parametrize(("a", "b"), list(itertools.combinations(SEEDS, 2)))
def test_two_seeds_are_independent_at_every_small_shift(a: int, b: int) -> None:
    ours, theirs = uniform(a, (N,)) - 0.5, uniform(b, (N,)) - 0.5
    for shift in range(-3, 4):
        assert abs(float((ours.roll(shift) * theirs).mean() * 12)) < 5.5 / N**0.5


def test_three_neighbours_do_not_lie_in_planes() -> None:
    cells = uniform(3, (3 * N,)).view(-1, 3).mul(8).floor() @ torch.tensor([64.0, 8.0, 1.0])
    counts = torch.histc(cells, 512, 0, 512)
    assert float((counts / counts.mean() - 1.0).abs().max()) < 0.12  # 2,048 in each, 2.2 % standard deviation


def test_segments_differ_and_a_shape_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counter, "SEGMENT", 1000)
    whole = uniform(5, (2500,))
    assert not whole[:1000].equal(whole[1000:2000])
    assert uniform(5, (50, 50)).flatten().equal(whole)
    assert uniform(5, (1000,)).equal(whole[:1000])
