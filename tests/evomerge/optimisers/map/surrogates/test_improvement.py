"""Hypervolume improvements agree with differences of moocore's hypervolumes."""

from __future__ import annotations

import moocore
import numpy as np
import pytest

from evomerge.optimisers.map.surrogates.selection import hypervolume_improvements, reference_point


@pytest.mark.parametrize("m", [1, 2, 3, 4])
@pytest.mark.parametrize("n_known", [0, 1, 12])
def test_improvements_are_differences_of_hypervolumes(m: int, n_known: int) -> None:
    rng = np.random.default_rng(m)
    known, points = rng.random((n_known, m)), 1.2 * rng.random((60, m))
    reference = np.full(m, 0.2)

    def volume(values: np.ndarray) -> float:
        kept = values[(values > reference).all(axis=1)]
        if m == 1:
            return float(kept.max() - 0.2) if len(kept) else 0.0
        return float(moocore.hypervolume(kept, ref=reference, maximise=True)) if len(kept) else 0.0

    expected = [volume(np.vstack([known, point])) - volume(known) for point in points]
    assert hypervolume_improvements(points, known, reference) == pytest.approx(expected, abs=1e-12)


def test_the_reference_lies_a_tenth_below_the_front() -> None:
    values = np.array([[0.0, 1.0], [1.0, 0.5], [-5.0, -5.0]])
    assert reference_point(values).tolist() == pytest.approx([-0.1, 0.45])


def test_a_front_of_one_point_has_a_reference_below_it() -> None:
    assert (reference_point(np.array([[0.5, 0.5]])) < 0.5).all()
