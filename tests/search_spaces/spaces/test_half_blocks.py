"""Paths of half layers: the contract of spaces, and what each genome means."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomerge.testing.search_space_contract import SearchSpaceContract, immutable_fixtures
from search_spaces.errors import SpaceError
from search_spaces.recipes.layer_path import Step, path_text, steps_of
from search_spaces.recipes.recipe import ParentSource
from search_spaces.spaces.flow import Flow
from search_spaces.spaces.joint import JointSpace
from search_spaces.spaces.layer_flow import LayerFlowSpace
from tests.search_spaces.spaces.test_joint import N_LAYERS, make_weights

PARENTS = {name: ParentSource(f"models/{name}") for name in ("alpha", "beta")}
OUTLETS: dict[Any, tuple[str, ...]] = {"attention": ("o_proj",), "mlp": ("down_proj", "w2")}
SPACES: dict[str, dict[str, Any]] = {
    "plain": {},
    "repeated, reordered, scaled, frozen": {
        "repeats": 2,
        "window": 2,
        "scales": (0.3, 3.0),
        "frozen_prefix": 1,
        "frozen_suffix": 1,
        "frozen_from": "beta",
        "max_depth": 6,
    },
}


def make_space(**options: Any) -> LayerFlowSpace:
    flow = Flow(halves=True, **options)
    return LayerFlowSpace(PARENTS, "alpha", depths={"alpha": 4, "beta": 3}, flow=flow, outlets=OUTLETS)


@pytest.mark.parametrize("options", SPACES.values(), ids=SPACES.keys())
class TestHalfBlocks(SearchSpaceContract):
    baselines: ClassVar[list[str]] = []

    @pytest.fixture
    def space(self, options: dict[str, Any]) -> LayerFlowSpace:
        return make_space(**options)

    @given(data=st.data())
    @immutable_fixtures
    def test_encode_gives_one_genome_per_recipe(self, space: LayerFlowSpace, data: st.DataObject) -> None:
        canonical = space.encode(space.decode(data.draw(self.genomes(space))))
        assert np.array_equal(space.encode(space.decode(canonical)), canonical)


class TestJointHalfBlocks(SearchSpaceContract):
    @pytest.fixture
    def space(self) -> JointSpace:
        sources = ["merged", "words", "sums"]
        return JointSpace(make_weights(), n_layers=N_LAYERS, flow=Flow(halves=True), sources=sources, outlets=OUTLETS)


@given(st.lists(st.floats(0, 1), min_size=14, max_size=14).filter(lambda genes: max(genes) > 0.5))
def test_a_half_is_in_exactly_where_its_gene_says_so(genes: list[float]) -> None:
    space = make_space()
    steps = steps_of(space.decode(np.array(genes)))
    found = {(s.source, s.layer, half) for s in steps for half in ("attention", "mlp") if s.without != half}
    places = [(name, layer) for name, depth in (("alpha", 4), ("beta", 3)) for layer in range(depth)]
    named = [(*place, half) for half in ("attention", "mlp") for place in places]
    assert found == {name for name, gene in zip(named, genes, strict=True) if gene > 0.5}


def test_each_half_is_in_or_out_by_its_own_gene() -> None:
    space = make_space()
    genome = np.full(space.dim, 0.2)
    genome[[0, 1, 3]] = 0.8  # attention of alpha's layers 0, 1 and 3
    genome[[7, 8, 9]] = 0.8  # MLPs of alpha's layers 0, 1 and 2
    recipe = space.decode(genome)
    assert steps_of(recipe) == [
        Step("alpha", 0), Step("alpha", 1), Step("alpha", 2, "attention"), Step("alpha", 3, "mlp")
    ]  # fmt: skip
    assert path_text(recipe) == "alpha 0-1, alpha 2 without attention, alpha 3 without mlp"
    silent = [(r.where.layers, r.where.module, r.where.contains) for r in recipe.rules[:3]]
    assert silent == [((2, 3), "attention", ("o_proj",)), ((3, 4), "mlp", ("down_proj",)), ((3, 4), "mlp", ("w2",))]
    names = [str(info) for info in space.gene_names()]
    assert names[6:8] == ["include, beta, attention, layer 2", "include, alpha, mlp, layer 0"]


def test_whole_layers_stand_as_before() -> None:
    whole = LayerFlowSpace(PARENTS, "alpha", depths={"alpha": 4, "beta": 3}, flow=Flow())
    halves = make_space()
    assert halves.decode(halves.start()).digest == whole.decode(whole.start()).digest
    for recipe in (whole.decode(g) for g in np.random.default_rng(0).random((20, whole.dim))):
        assert halves.decode(halves.encode(recipe)).digest == recipe.digest


def test_frozen_layers_are_whole() -> None:
    space = make_space(frozen_prefix=1, frozen_from="beta")
    broken = make_space().decode(make_space().encode(space.landmarks()[0].recipe))
    with pytest.raises(SpaceError, match="frozen layers at both ends"):
        space.encode(broken)
