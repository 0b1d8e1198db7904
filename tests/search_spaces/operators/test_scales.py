from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from search_spaces.errors import SpaceError
from search_spaces.operators.scales import Choice, Linear, Log, Quantised

ends = st.floats(-1e6, 1e6)
genes = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0.0, 1.0))


def made(scale: Any, *arguments: float) -> Any:
    try:
        return scale(*arguments)
    except SpaceError:
        assume(False)


scales = st.one_of(
    st.tuples(ends, ends).map(lambda e: (Linear, *sorted(e))),
    st.tuples(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9)).map(lambda e: (Log, *sorted(e))),
    st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)).map(lambda e: (Quantised, *sorted(e))),
    st.integers(1, 300).map(lambda n: (Choice, n)),
)


@pytest.mark.parametrize("scale", [Linear, Log])
def test_a_range_too_narrow_for_float64_is_refused(scale: Any) -> None:
    with pytest.raises(SpaceError, match="range"):
        scale(1e-308, 2e-308)


@given(scales, genes)
@settings(max_examples=500)
def test_a_value_comes_back_exactly(parts: Any, gene: float) -> None:
    scale = made(*parts)
    value = scale.value(gene)
    assert repr(scale.value(scale.gene(value))) == repr(value)  # repr tells -0.0 from 0.0
    assert 0.0 <= scale.gene(value) <= 1.0


@given(scales, genes, genes)
def test_values_never_fall_as_the_gene_rises(parts: Any, one: float, other: float) -> None:
    scale = made(*parts)
    assert scale.value(min(one, other)) <= scale.value(max(one, other))


@given(scales, st.floats(allow_nan=True, allow_infinity=True))
def test_any_number_gives_a_value_within_the_bounds(parts: Any, gene: float) -> None:
    scale = made(*parts)
    low, high = (0, parts[1] - 1) if parts[0] is Choice else parts[1:]
    assert low <= scale.value(gene) <= high


def test_linear_values_are_short_decimals() -> None:
    assert Linear(0.0, 1.5).value(1 / 3) == 0.5
    assert Linear(0.0, 1.5).value(math.pi / 10) == 0.471239
    assert Linear(0.0, 100.0).value(math.pi / 10) == 31.4159


def test_a_logarithmic_scale_is_halfway_at_the_geometric_mean() -> None:
    assert Log(0.01, 100.0).value(0.5) == 1.0


def test_a_quantised_scale_gives_every_multiple_an_equal_share() -> None:
    scale = Quantised(0.2, 1.0)
    values = [scale.value(i / 20500) for i in range(20500)]
    counts = {value: values.count(value) for value in set(values)}
    assert sorted(counts) == [k / 256 for k in range(52, 257)]
    assert max(counts.values()) - min(counts.values()) <= 2


@pytest.mark.parametrize("bounds", [(1.0, 1.0), (1.0, 0.0), (0.0, math.inf), (math.nan, 1.0), (1e9, 1e9 + 1e-3)])
@pytest.mark.parametrize("scale", [Linear, Log, Quantised])
def test_bounds_that_are_no_range_are_refused(scale: Any, bounds: tuple[float, float]) -> None:
    with pytest.raises(SpaceError, match="bounds: expected"):
        scale(*bounds)


def test_a_logarithmic_scale_needs_a_positive_bound() -> None:
    with pytest.raises(SpaceError, match="positive lower bound"):
        Log(0.0, 1.0)
