import numpy as np
import pytest

from evomerge.results.pages.importance import explained


def test_of_a_sum_each_gene_explains_its_share_of_the_variance() -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.random((3, 4000))
    target = 2 * a + b
    assert explained(a, target) == pytest.approx(0.8, abs=0.03)
    assert explained(b, target) == pytest.approx(0.2, abs=0.03)
    assert explained(c, target) < 0.01


def test_without_any_effect_few_candidates_explain_nothing_on_average() -> None:
    rng = np.random.default_rng(1)
    shares = [explained(rng.random(60), rng.random(60)) for _ in range(400)]
    assert np.mean(shares) < 0.04  # cut at 0, so above it
    assert np.median(shares) < 0.02


def test_a_gene_of_few_values_is_taken_by_its_values_and_a_constant_explains_nothing() -> None:
    gene = np.repeat([0.0, 0.5, 1.0], 20)
    assert explained(gene, gene) == pytest.approx(1.0)
    assert explained(np.full(60, 0.5), gene) == 0.0
    assert explained(gene, np.ones(60)) == 0.0
