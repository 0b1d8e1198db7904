from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomerge.testing.search_space_contract import SearchSpaceContract, immutable_fixtures
from search_spaces.errors import SpaceError
from search_spaces.recipes.layer_path import Step, path_text, steps_of
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule, Where
from search_spaces.spaces.flow import Flow
from search_spaces.spaces.layer_flow import LayerFlowSpace

PARENTS = {name: ParentSource(f"models/{name}") for name in ("alpha", "beta")}
DEPTHS = {"alpha": 4, "beta": 3}

SPACES: dict[str, dict[str, Any]] = {
    "plain": {},
    "one parent": {"sources": ["beta"]},
    "scaled": {"scales": (0.5, 2.0)},
    "scaled up only, to a narrow product": {"scales": (1.0, 3.0), "product": (1.0, 1.7)},
    "repeated": {"repeats": 3, "max_depth": 5},
    "in any order": {"window": 20},
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
    own = {name: options.pop(name) for name in ("sources", "embeddings_from") if name in options}
    return LayerFlowSpace(PARENTS, "alpha", depths=DEPTHS, flow=Flow(**options), **own)


def genome_of(space: LayerFlowSpace, on: Sequence[int], **changes: float) -> np.ndarray:
    """Return a genome with some indicators on, and single genes set by their name."""
    genome = np.full(space.dim, 0.5)
    indicators = list(space.structure.indicators)
    genome[indicators] = 0.2
    genome[list(on)] = 0.8
    for at, name in enumerate(map(str, space.gene_names())):
        genome[at] = changes.pop(name, genome[at])
    assert not changes
    return genome


@pytest.mark.parametrize("options", SPACES.values(), ids=SPACES.keys())
class TestLayerFlowSpace(SearchSpaceContract):
    baselines: ClassVar[list[str]] = []

    @pytest.fixture
    def space(self, options: dict[str, Any]) -> LayerFlowSpace:
        return make_space(**options)

    @given(data=st.data())
    @immutable_fixtures
    def test_encode_gives_one_genome_per_recipe(self, space: LayerFlowSpace, data: st.DataObject) -> None:
        canonical = space.encode(space.decode(data.draw(self.genomes(space))))
        assert np.array_equal(space.encode(space.decode(canonical)), canonical)

    @given(data=st.data())
    @immutable_fixtures
    def test_every_path_has_a_step_and_none_too_many(self, space: LayerFlowSpace, data: st.DataObject) -> None:
        recipe = space.decode(data.draw(self.genomes(space)))
        assert 1 <= len(recipe.layers or ()) <= space.structure.on[1] + 2

    @given(data=st.data())
    @immutable_fixtures
    def test_the_product_of_scales_stays_within_its_bounds(self, space: LayerFlowSpace, data: st.DataObject) -> None:
        recipe = space.decode(data.draw(self.genomes(space)))
        products = list(itertools.accumulate(recipe.input_scales or (1.0,), lambda a, b: a * b))
        assert 0.25 * (1 - 1e-12) <= min(products) <= max(products) <= 4 * (1 + 1e-12)

    @given(data=st.data())
    @immutable_fixtures
    def test_the_genes_of_layers_that_are_out_have_no_effect(self, space: LayerFlowSpace, data: st.DataObject) -> None:
        genome = data.draw(self.genomes(space))
        canonical = space.encode(space.decode(genome))
        out = [g for g, indicator in space.structure.under.items() if canonical[indicator] < 0.5]
        canonical[out] = genome[out]
        assert space.decode(canonical) == space.decode(genome)


def test_a_path_is_the_layers_that_are_in_by_parent_and_depth() -> None:
    space = make_space(embeddings_from="beta")
    recipe = space.decode(genome_of(space, [0, 1, 3, 5, 6]))
    assert recipe.layers == ({"alpha": 0}, {"alpha": 1}, {"alpha": 3}, {"beta": 1}, {"beta": 2})
    assert recipe.rules == (
        Rule("passthrough", (Input("alpha"),), where=Where(layers=(0, 3))),
        Rule("passthrough", (Input("beta"),), where=Where(layers=(3, 5))),
        Rule("passthrough", (Input("beta"),)),
    )
    assert path_text(recipe) == "alpha 0-1, alpha 3, beta 1-2"


def test_a_list_laid_out_twice_goes_back_to_layers_that_were_run() -> None:
    space = make_space(repeats=2)
    assert path_text(space.decode(genome_of(space, [0, 1, 8, 13]))) == "alpha 0-1, alpha 1, beta 2"


def test_exactly_the_threshold_is_out_and_without_any_layer_the_highest_gene_is_in() -> None:
    space = make_space()
    assert path_text(space.decode(np.full(7, 0.5))) == "alpha 0"
    assert path_text(space.decode(np.array([0.1, 0.1, 0.4, 0.1, 0.1, 0.4, 0.1]))) == "alpha 2"


def test_of_too_many_layers_the_highest_genes_stay() -> None:
    space = make_space(max_depth=3)
    assert path_text(space.decode(np.array([0.6, 0.9, 0.6, 0.7, 0.6, 0.2, 0.1]))) == "alpha 0-1, alpha 3"


def test_frozen_layers_are_at_both_ends_and_outside_the_search() -> None:
    space = make_space(frozen_prefix=1, frozen_suffix=1, repeats=2)
    assert [str(gene) for gene in space.gene_names()][:3] == [
        "include (pass 1), alpha, layer 1",
        "include (pass 1), alpha, layer 2",
        "include (pass 1), beta, layer 1",
    ]
    assert path_text(space.decode(np.zeros(space.dim))) == "alpha 0, alpha 3"
    assert path_text(space.decode(genome_of(space, [2]))) == "alpha 0, beta 1, alpha 3"


def test_a_window_lets_neighbours_change_places_but_no_further() -> None:
    space = make_space(window=1)
    late = genome_of(space, [0, 1, 2], **{"order, alpha, layer 0": 1.0, "order, alpha, layer 1": 0.0})
    assert [step.layer for step in steps_of(space.decode(late))] == [1, 0, 2]


@given(keys=st.lists(st.floats(0, 1), min_size=7, max_size=7), window=st.integers(1, 4))
def test_no_layer_moves_more_places_than_the_window(keys: list[float], window: int) -> None:
    space = make_space(window=window)
    steps = steps_of(space.decode(np.array([1.0] * 7 + keys)))
    listed = [Step(name, k) for name, depth in DEPTHS.items() for k in range(depth)]
    assert max(abs(steps.index(step) - place) for place, step in enumerate(listed)) <= window
    assert sorted(steps) == sorted(listed)


def test_every_order_within_the_window_can_be_reached() -> None:
    space = make_space(sources=["alpha"], window=2)
    reached = {
        tuple(step.layer for step in steps_of(space.decode(np.array([1.0] * 4 + list(keys)))))
        for keys in itertools.product(np.linspace(0, 1, 7), repeat=4)
    }
    expected = {
        order
        for order in itertools.permutations(range(4))
        if all(a - b <= 2 for a, b in itertools.combinations(order, 2))
    }
    assert reached == expected


def test_a_scale_multiplies_on_entering_its_layer() -> None:
    space = make_space(scales=(0.5, 2.0))
    genome = genome_of(space, [0, 4], **{"input scale, beta, layer 0": 0.0})
    assert space.decode(genome).input_scales == (1.0, 0.5)


def test_scales_that_are_all_one_are_none() -> None:
    space = make_space(scales=(0.25, 4.0))
    assert space.decode(genome_of(space, [0, 4])).input_scales is None


def test_a_scale_is_cut_where_the_product_would_leave_its_bounds() -> None:
    space = make_space(scales=(0.3, 2.0), product=(0.5, 4.0))
    low = {f"input scale, alpha, layer {k}": 0.0 for k in range(3)}
    scales = space.decode(genome_of(space, [0, 1, 2], **low)).input_scales
    assert scales is not None
    assert (scales[0], scales[2]) == (0.5, 1.0)
    assert math.prod(scales) == pytest.approx(0.5)


def test_the_search_starts_at_the_first_parents_own_path() -> None:
    space = make_space(repeats=2, window=1, scales=(0.5, 2.0))
    start = space.start()
    recipe = space.decode(start)
    assert (path_text(recipe), recipe.input_scales) == ("alpha 0-3", None)
    indicators = start[list(space.structure.indicators)]
    assert np.allclose(np.abs(indicators - 0.5), 1 / 3)  # two standard deviations of CMA-ES's start


def test_a_landmark_is_a_parents_whole_path_whatever_the_depth() -> None:
    alpha, beta = (landmark.recipe for landmark in make_space().landmarks())
    assert (path_text(alpha), path_text(beta)) == ("alpha 0-3", "beta 0-2")
    assert beta.rules[-1] == Rule("passthrough", (Input("beta"),))


def test_structure_tells_which_genes_count_under_which_indicator() -> None:
    structure = make_space(scales=(0.5, 2.0), window=1, max_depth=5).structure
    assert structure.indicators == tuple(range(7))
    assert structure.on == (1, 5)
    assert structure.under == {gene: gene % 7 for gene in range(7, 21)}
    assert structure.continuous == tuple(range(7, 21))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeats": 0}, "repeats: expected at least 1, found 0"),
        ({"window": -1}, "window: expected at least 0"),
        ({"scales": (1.1, 2.0)}, r"scales: expected \[low, high\] with 0 < low <= 1 <= high"),
        ({"scales": (0.0, 2.0)}, "scales: expected"),
        ({"product": (0.1, 4.0)}, r"scale_product: expected bounds inside \[0.25, 4.0\].*rounding"),
        ({"max_depth": 0}, "max_depth: expected more than the 0 frozen layers, found 0"),
        ({"max_depth": 2, "frozen_prefix": 2}, "more than the 2 frozen layers"),
        ({"frozen_prefix": 2, "frozen_suffix": 1}, "fewer than 'beta' has layers, 3, found 2 [+] 1"),
        ({"frozen_from": "gamma"}, "frozen_from: expected one of .* found 'gamma'"),
        ({"sources": ["gamma"]}, "sources: expected one of .* found 'gamma'"),
        ({"sources": ["beta", "beta"]}, "sources: expected each once"),
        ({"embeddings_from": "gamma"}, "embeddings_from: expected one of .* found 'gamma'"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        make_space(**options)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (None, "one parent for each of its layers"),
        (({"alpha": 0, "beta": 0},), "found none or several"),
        (({"alpha": 1}, {"alpha": 0}), "found layer 0 of 'alpha' as step 1"),
        (({"beta": 0}, {"beta": 0}), "found layer 0 of 'beta' as step 1"),
    ],
)
def test_a_recipe_of_no_such_path_has_no_genome(layers: Any, message: str) -> None:
    recipe = Recipe(PARENTS, "alpha", (Rule("passthrough", (Input("alpha"),)),), layers=layers)
    with pytest.raises(SpaceError, match=message):
        make_space().encode(recipe)


def test_a_genome_of_another_shape_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"genome: expected shape \(7,\)"):
        make_space().decode(np.zeros(3))
