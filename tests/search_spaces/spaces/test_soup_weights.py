"""Soups: weights that sum to 1, no flat direction, every parent alike, and the way back exact."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from scipy.linalg import null_space

from search_spaces.errors import SpaceError
from search_spaces.mergekit.reading import read_mergekit
from search_spaces.mergekit.writing import to_mergekit
from search_spaces.merging.materialise import merged_tensor
from search_spaces.parents.parents import Parents
from search_spaces.recipes.groups import Groups
from search_spaces.recipes.recipe import ParentSource
from search_spaces.spaces.soup_weights import FORMS, Form, SoupWeights
from search_spaces.spaces.weight_space import WeightSpace
from tests.conftest import make_family

SIXTEEN = tuple(f"checkpoint{i}" for i in range(16))


def soup_space(weights: str = "simplex", parents: tuple[str, ...] = SIXTEEN, **arguments: Any) -> WeightSpace:
    """Return a soup of checkpoints without a base, one weight each."""
    return WeightSpace(
        {name: ParentSource(f"models/{name}") for name in parents},
        parents[0],
        n_layers=4,
        **{"operators": ["linear"], "groups": Groups(1, ("all",)), "genes": {}, "merge_base": True, **arguments},
        weights=weights,  # type: ignore[arg-type]
    )


def weights_of(space: WeightSpace, genome: np.ndarray) -> np.ndarray:
    return np.array([float(i.parameters["weight"]) for i in space.decode(genome).rules[0].inputs])


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
def test_weights_sum_to_one_and_come_back(form: Form, data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 20))
    contrasts = data.draw(st.lists(st.floats(-4, 4), min_size=n - 1, max_size=n - 1))
    soup = SoupWeights(form, SIXTEEN[:2] + tuple(f"more{i}" for i in range(n - 2)))
    weights = soup.weights(contrasts)
    assert sum(weights) == pytest.approx(1.0, abs=1e-10)
    assert soup.contrasts(weights) == pytest.approx(contrasts, abs=1e-8)
    assert form == "affine" or min(weights) > 0


@pytest.mark.parametrize("weights", FORMS)
def test_the_uniform_soup_lies_in_the_middle_of_the_cube(weights: str) -> None:
    space = soup_space(weights)
    assert space.dim == 15
    assert weights_of(space, np.full(15, 0.5)) == pytest.approx(1 / 16, abs=1e-12)


@pytest.mark.parametrize("n", [2, 3, 16])
def test_every_direction_is_as_long_as_every_other_whoever_is_last(n: int) -> None:
    """The coordinates are an isometry onto weights that sum to 1: the Gram matrix of their images is the identity."""
    soup = SoupWeights("affine", SIXTEEN[:n])
    images = np.array([soup.weights(list(row)) for row in np.eye(n - 1)]) - 1 / n
    assert images @ images.T == pytest.approx(np.eye(n - 1), abs=1e-10)
    assert images.sum(axis=1) == pytest.approx(0.0, abs=1e-10)
    assert null_space(images).shape[1] == 1  # only the sum is lost


def test_a_search_from_the_middle_moves_every_parent_alike() -> None:
    rng = np.random.default_rng(0)
    for form in FORMS:
        soup = SoupWeights(form, SIXTEEN)
        drawn = np.array([soup.weights(list(z)) for z in 0.05 * rng.standard_normal((4000, 15))])
        deviations = drawn.std(axis=0)
        assert deviations.max() / deviations.min() < 1.1


def test_an_affine_soup_reaches_every_parent_alone() -> None:
    space = soup_space("affine")
    for parent in range(16):
        contrasts = SoupWeights("affine", SIXTEEN).contrasts([float(i == parent) for i in range(16)])
        genome = 0.5 + np.array(contrasts) / 2
        assert genome.min() >= 0
        assert genome.max() <= 1
        assert weights_of(space, genome) == pytest.approx([float(i == parent) for i in range(16)], abs=1e-5)


def test_a_simplex_reaches_nearly_every_parent_alone_and_never_leaves_it() -> None:
    space = soup_space("simplex")
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 2, (500, 15)).astype(float)
    for genome in corners:
        weights = weights_of(space, genome)
        assert weights.min() > 0
        assert weights.sum() == pytest.approx(1.0)
    first = weights_of(space, np.array([1.0] + [0.4375] * 14))
    assert first[0] > 0.8


def test_no_two_genomes_of_a_soup_make_the_same_model() -> None:
    """Free weights that are divided by their sum do: that is the flat direction."""
    free, soup = soup_space("free"), soup_space("simplex")
    shares = [weights_of(free, np.full(16, gene)) for gene in (0.3, 0.9)]
    assert shares[0] / shares[0].sum() == pytest.approx(shares[1] / shares[1].sum())
    assert weights_of(soup, np.full(15, 0.3)) != pytest.approx(weights_of(soup, np.full(15, 0.9)))


def test_a_gene_raises_its_own_parent() -> None:
    space = soup_space("simplex")
    for k, gene in enumerate(space.gene_names()):
        assert gene.parent == SIXTEEN[k]
        genome = np.full(15, 0.5)
        genome[k] = 0.7
        assert weights_of(space, genome).argmax() == k


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return make_family(tmp_path_factory.mktemp("soup"), SIXTEEN).experts


@pytest.mark.parametrize("weights", FORMS)
def test_a_soup_of_sixteen_is_their_weighted_mean_here_and_in_mergekits_words(
    weights: str, checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    sources = {name: ParentSource(str(path)) for name, path in checkpoints.items()}
    space = WeightSpace(
        sources, SIXTEEN[0], n_layers=2, operators=["linear"], groups=Groups(1, ("all",)), genes={},
        merge_base=True, dtype="float32", weights=weights,  # type: ignore[arg-type]
    )  # fmt: skip
    genome = np.linspace(0.4, 0.6, 15)
    recipe, shares = space.decode(genome), weights_of(space, genome)
    name = "model.layers.1.mlp.up_proj.weight"
    expected = sum(
        w * load_file(p / "model.safetensors")[name] for w, p in zip(shares, checkpoints.values(), strict=True)
    )
    parents = Parents.open(recipe.parents)
    assert merged_tensor(recipe, parents, name) == pytest.approx(expected, abs=1e-6)
    text = to_mergekit(recipe)
    assert "merge_method: linear" in text
    (tmp_path / "soup.yml").write_text(text)
    again = read_mergekit(tmp_path / "soup.yml")
    assert torch.equal(merged_tensor(again, parents, name), merged_tensor(recipe, parents, name))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"genes": {"weight": (0.0, 1.0)}}, r"genes.weight: with weights simplex, expected bounds \[-reach, reach\]"),
        ({"genes": {"weight": 0.5}}, r"genes.weight: with weights simplex, expected bounds"),
        ({"operators": ["wsm"]}, "weights: expected operators that weight their parents, found wsm"),
        ({"weights": "convex"}, "weights: expected free or one of"),
    ],
)
def test_what_cannot_be_a_soup_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        soup_space(**arguments)
