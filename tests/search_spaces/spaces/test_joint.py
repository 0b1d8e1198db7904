from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomerge.testing.search_space_contract import SearchSpaceContract, immutable_fixtures
from search_spaces.errors import SpaceError
from search_spaces.layers.layer_behaviour import in_layer
from search_spaces.recipes.groups import Groups, locate, matches
from search_spaces.recipes.layer_path import MERGED, path_text
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule, Where
from search_spaces.spaces.flow import Flow
from search_spaces.spaces.joint import JointSpace
from search_spaces.spaces.weight_space import WeightSpace

PARENTS = {name: ParentSource(f"models/{name}") for name in ("base", "words", "sums")}
N_LAYERS = 4
MODULES = ("self_attn.q_proj", "mlp.up_proj", "input_layernorm")
OUTSIDE = ("model.embed_tokens.weight", "model.norm.weight", "lm_head.weight")

SPACES: dict[str, dict[str, Any]] = {
    "plain": {},
    "blocks of all modules": {"groups": Groups(2, ("all",)), "flow": Flow(repeats=2, max_depth=5)},
    "attention only": {"groups": Groups(2, ("attention",)), "sources": [MERGED, "sums"]},
    "an operator for each group": {"operators": ["ties", "linear", "task_arithmetic"], "operator_per": "group"},
    "an operator for the model": {"operators": ["linear", "ties"], "flow": Flow(window=2, scales=(0.5, 2.0))},
    "embeddings of a parent": {"embeddings_from": "words", "flow": Flow(frozen_prefix=1, frozen_from="words")},
    "parents first": {"sources": ["words", MERGED]},
}


def make_weights(**overrides: Any) -> WeightSpace:
    arguments: dict[str, Any] = {
        "n_layers": N_LAYERS,
        "operators": ["ties"],
        "groups": Groups(layer_blocks=3),
        "genes": {"weight": (0.0, 1.5), "density": (0.2, 1.0)},
        **overrides,
    }
    arguments["genes"] = {
        n: g for n, g in arguments["genes"].items() if n == "weight" or "ties" in arguments["operators"]
    }
    return WeightSpace(PARENTS, "base", **arguments)


def make_space(**overrides: Any) -> JointSpace:
    own = {name: overrides.pop(name) for name in ("flow", "sources", "embeddings_from") if name in overrides}
    arguments = {"flow": Flow(), "sources": [MERGED, "words", "sums"], **own}
    return JointSpace(make_weights(**overrides), n_layers=N_LAYERS, **arguments)


def rule_for(recipe: Recipe, name: str) -> tuple[Any, ...]:
    rule = next(rule for rule in recipe.rules if matches(rule.where, name, locate(name)))
    return rule.operator, rule.inputs, dict(rule.parameters)


@pytest.mark.parametrize("options", SPACES.values(), ids=SPACES.keys())
class TestJointSpace(SearchSpaceContract):
    @pytest.fixture
    def space(self, options: dict[str, Any]) -> JointSpace:
        return make_space(**options)

    @given(data=st.data())
    @immutable_fixtures
    def test_encode_gives_one_genome_per_recipe(self, space: JointSpace, data: st.DataObject) -> None:
        recipe = space.decode(data.draw(self.genomes(space)))
        canonical = space.encode(recipe)
        assert space.decode(canonical) == recipe
        assert np.allclose(space.encode(space.decode(canonical)), canonical, atol=1e-12)

    @given(data=st.data())
    @immutable_fixtures
    def test_a_merged_layer_is_made_as_that_layer_of_the_merged_model(
        self, space: JointSpace, options: dict[str, Any], data: st.DataObject
    ) -> None:
        genome = data.draw(self.genomes(space))
        own = {k: v for k, v in options.items() if k not in ("flow", "sources", "embeddings_from")}
        weights = make_weights(**own)
        merged, recipe = weights.decode(genome[: weights.dim]), space.decode(genome)
        for k, sources in enumerate(recipe.layers or ()):
            for module in MODULES:
                name = f"model.layers.{k}.{module}.weight"
                if len(sources) == 1:
                    (parent,) = sources
                    assert rule_for(recipe, name) == ("passthrough", (Input(parent),), {})
                else:
                    assert sources == dict.fromkeys(PARENTS, next(iter(sources.values())))
                    assert rule_for(recipe, name) == rule_for(merged, in_layer(name, "model.layers", sources["base"]))
        for name in OUTSIDE:
            assert locate(name).layer is None
            outside = options.get("embeddings_from", MERGED)
            alone: tuple[Any, ...] = ("passthrough", (Input(outside),), {})
            assert rule_for(recipe, name) == (rule_for(merged, name) if outside == MERGED else alone)


def test_a_path_through_the_merged_model_and_a_parent() -> None:
    space = make_space(groups=Groups(1, ("all",)), flow=Flow(scales=(0.5, 2.0)), sources=[MERGED, "sums"])
    genome = space.start()
    shift = space.dim - 16
    genome[[shift + 2, shift + 7]] = 0.1, 0.9
    genome[shift + 8 + 7] = 1.0
    recipe = space.decode(genome)
    assert path_text(recipe) == "merged 0-1, merged 3, sums 3"
    assert recipe.layers is not None
    assert recipe.layers[2:] == ({"base": 3, "words": 3, "sums": 3}, {"sums": 3})
    assert recipe.input_scales == (1.0, 1.0, 1.0, 2.0)
    assert [rule.where for rule in recipe.rules] == [Where(layers=(0, 3)), Where(layers=(3, 4)), Where()]


def test_the_search_starts_at_the_merged_model_itself() -> None:
    assert path_text(make_space().decode(make_space().start())) == "merged 0-3"


def test_structure_shifts_the_path_behind_the_merge_and_names_choices() -> None:
    space = make_space(operators=["linear", "ties"], flow=Flow(scales=(0.5, 2.0), max_depth=6))
    weights = make_weights(operators=["linear", "ties"])
    structure = space.structure
    assert structure.choices == {0: 2}
    assert structure.indicators == tuple(range(weights.dim, weights.dim + 12))
    assert structure.on == (1, 6)
    assert structure.under == {weights.dim + 12 + i: weights.dim + i for i in range(12)}
    assert structure.continuous[: weights.dim - 1] == tuple(range(1, weights.dim))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sources": ["words"]}, "sources: expected 'merged' and parents"),
        ({"sources": [MERGED, "gamma"]}, "sources: expected 'merged' or one of"),
        ({"embeddings_from": "gamma"}, "embeddings_from: expected 'merged' or one of"),
        ({"groups": Groups(3, depth="linear")}, "groups.depth: expected constant in a joint space, found linear"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        make_space(**options)


def test_a_parent_cannot_be_called_merged() -> None:
    parents = {"base": ParentSource("b"), MERGED: ParentSource("m")}
    weights = WeightSpace(
        parents, "base", n_layers=2, operators=["ties"], groups=Groups(1), genes={"weight": (0.0, 1.0)}
    )
    with pytest.raises(SpaceError, match="another name than 'merged'"):
        JointSpace(weights, n_layers=2, flow=Flow(), sources=[MERGED])


def test_a_recipe_without_a_path_has_no_genome() -> None:
    with pytest.raises(SpaceError, match="expected a recipe with a path"):
        make_space().encode(Recipe(PARENTS, "base", (Rule("linear", (Input("words"),)),)))
