from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomerge.testing.search_space_contract import SearchSpaceContract, immutable_fixtures
from search_spaces.errors import SpaceError
from search_spaces.operators.registry import OPERATORS, check_rule
from search_spaces.recipes.groups import Groups, locate, matches
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule
from search_spaces.spaces.soup_weights import CONTRAST
from search_spaces.spaces.weight_space import WeightSpace

PARENTS = {name: ParentSource(f"models/{name}") for name in ("base", "words", "sums")}
NAMES = [
    "model.embed_tokens.weight",
    *(
        f"model.layers.{layer}.{module}.weight"
        for layer in range(7)
        for module in ("self_attn.q_proj", "mlp.up_proj", "input_layernorm")
    ),
    "model.norm.weight",
    "lm_head.weight",
]


def make_space(**overrides: Any) -> WeightSpace:
    arguments: dict[str, Any] = {
        "n_layers": 7,
        "operators": ["ties"],
        "groups": Groups(layer_blocks=3),
        "genes": {"weight": (0.0, 1.5), "density": (0.2, 1.0)},
        **overrides,
    }
    return WeightSpace(arguments.pop("parents", PARENTS), "base", **arguments)


def rule_for(recipe: Recipe, name: str) -> Rule:
    return next(rule for rule in recipe.rules if matches(rule.where, name, locate(name)))


SPACES = {
    "ties": {},
    "linear, weights of either sign": {"operators": ["linear"], "genes": {"weight": (-1.0, 1.0)}},
    "linear with tiny weights": {"operators": ["linear"], "genes": {"weight": (0.0, 1e-4)}},
    "linear that cannot reach 1": {"operators": ["linear"], "genes": {"weight": (-1 / 3, 0.2)}},
    "a group per tensor": {"groups": Groups(modules=("tensor",), tensors=tuple(NAMES))},
    "operators with bounds of their own": {
        "operators": ["task_arithmetic", "regmean", "wudi"],
        "operator_per": "group",
        "genes": {"weight": (0.0, 1.5), "regmean": {"weight": (0.1, 10.0)}, "wudi": {"weight": (0.5, 1.5)}},
    },
    "one of two operators with bounds of its own between knots": {
        "operators": ["linear", "regmean"],
        "groups": Groups(layer_blocks=3, depth="linear"),
        "genes": {"weight": (-1.0, 1.0), "regmean": {"weight": (0.1, 10.0)}},
    },
    "a simplex": {"operators": ["linear"], "genes": {}, "weights": "simplex"},
    "a simplex between knots": {
        "operators": ["linear"],
        "genes": {"weight": (-6.0, 6.0)},
        "groups": Groups(layer_blocks=4, depth="linear", modules=("all",)),
        "weights": "simplex",
    },
    "affine weights": {"operators": ["linear", "task_arithmetic"], "genes": {}, "weights": "affine"},
    "affine weights for the whole model, densities per group": {
        "genes": {"density": (0.2, 1.0)},
        "weights": "affine",
        "whole_model": ["weight"],
    },
    "knots": {"groups": Groups(layer_blocks=3, depth="linear")},
    "knots of a linear merge": {
        "operators": ["linear"],
        "genes": {"weight": (-1.0, 1.0)},
        "groups": Groups(layer_blocks=4, depth="linear", modules=("all",)),
    },
    "one knot": {"groups": Groups(layer_blocks=1, depth="linear")},
    "all modules alike": {"groups": Groups(layer_blocks=2, modules=("all",))},
    "attention only": {"groups": Groups(layer_blocks=2, modules=("attention",))},
    "slerp": {"operators": ["slerp"], "genes": {}},
    "an operator gene": {
        "operators": ["dare_ties", "slerp", "task_arithmetic", "linear"],
        "genes": {"weight": (0.0, 1.0), "density": (0.1, 1.0), "lambda": (0.5, 2.0)},
    },
    "frozen density": {"genes": {"weight": (0.0, 1.0), "density": 0.3}},
    "an operator per group": {
        "operators": ["dare_ties", "multislerp", "magmax", "linear", "consensus_ta"],
        "operator_per": "group",
        "genes": {"weight": (-1.0, 1.0), "density": (0.1, 1.0), "lambda": (0.5, 2.0), "agreement": (0, 2)},
    },
    "an operator per knot": {
        "operators": ["ties", "karcher", "wsm"],
        "operator_per": "group",
        "groups": Groups(layer_blocks=3, depth="linear"),
        "genes": {"weight": (0.0, 1.0), "window": (0, 2), "decay": ("sqrt", "cosine"), "zero_sign": ("plus", "drop")},
    },
    "every kind of gene": {
        "operators": ["consensus_ties"],
        "genes": {
            "weight": {"words": (0.5, 1.5), "sums": 1.0},
            "agreement": (0, 2),
            "scope": ("tensor", "global"),
            "lines_alpha": (0.0, 1.5),
            "lines_beta": (-0.5, 1.5),
            "lines_head": ("start", "end"),
            "lambda": (0.5, 1.5),
        },
        "whole_model": ["lambda", "weight"],
    },
    "layer swapping": {
        "operators": ["layer_swap"],
        "genes": {"bottom": (0, 4), "top": (0, 4), "transition_weight": (0.0, 1.0), "edge_source": ("outer", "mean")},
    },
}


class TestWeightSpace(SearchSpaceContract):
    @pytest.fixture(params=SPACES.values(), ids=SPACES.keys())
    def space(self, request: pytest.FixtureRequest) -> WeightSpace:
        return make_space(**request.param)

    @given(data=st.data())
    @immutable_fixtures
    def test_every_genome_gives_rules_that_can_be_merged(self, space: WeightSpace, data: st.DataObject) -> None:
        recipe = space.decode(data.draw(self.genomes(space)))
        for rule in map(check_rule, recipe.rules):
            weights = [float(i.parameters.get("weight", 1.0)) for i in rule.inputs]
            flag = OPERATORS[rule.operator].divides_by_weights
            divides = flag == "always" or rule.parameters.get(flag) is True
            assert not divides or abs(sum(weights)) > max(1e-8, 1e-3 * sum(map(abs, weights)))

    @given(data=st.data())
    @immutable_fixtures
    def test_every_tensor_has_a_rule(self, space: WeightSpace, data: st.DataObject) -> None:
        recipe = space.decode(data.draw(self.genomes(space)))
        assert all(rule_for(recipe, name) for name in NAMES)

    def test_genes_outside_the_cube_count_as_the_nearest_end(self, space: WeightSpace) -> None:
        assert space.decode(np.full(space.dim, 7.0)) == space.decode(np.ones(space.dim))
        assert space.decode(np.full(space.dim, -np.inf)) == space.decode(np.zeros(space.dim))

    def test_every_gene_that_the_operator_uses_changes_the_recipe(self, space: WeightSpace) -> None:
        genome = np.full(space.dim, 0.4)
        recipe = space.decode(genome)
        operator = OPERATORS[recipe.rules[0].operator]
        for i, gene in enumerate(space.gene_names()):
            changed = genome.copy()
            changed[i] = 0.9
            used = gene.parameter in {"operator", CONTRAST, *operator.input_parameters, *operator.parameters}
            assert (space.decode(changed).digest != recipe.digest) == used, gene


def digests() -> list[str]:
    spaces = [make_space(**overrides) for overrides in SPACES.values()]
    return [space.decode(np.full(space.dim, 1 / 3)).digest for space in spaces]


def test_decode_gives_the_same_digests_in_another_process() -> None:
    program = f"from {__name__} import digests; print(*digests())"
    there = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert there.stdout.split() == digests()


def test_the_quickstart_groups_have_one_gene_per_block_module_parent_and_parameter() -> None:
    space = make_space()
    assert space.dim == (3 + 3 + 1) * 2 * 2
    assert str(space.gene_names()[0]) == "weight, words, attention, layers 0 to 1"
    assert str(space.gene_names()[-1]) == "density, sums, other"
    assert {gene.values for gene in space.gene_names() if gene.parameter == "density"} == {(52 / 256, 1.0)}


def test_a_gene_reaches_only_the_tensors_it_names() -> None:
    space = make_space()
    genome = np.full(space.dim, 0.4)
    changed = genome.copy()
    index = [str(gene) for gene in space.gene_names()].index("weight, sums, mlp, layers 2 to 3")
    changed[index] = 0.9
    old, new = space.decode(genome), space.decode(changed)
    moved = [name for name in NAMES if rule_for(old, name) != rule_for(new, name)]
    assert moved == ["model.layers.2.mlp.up_proj.weight", "model.layers.3.mlp.up_proj.weight"]


def test_each_group_may_have_an_operator_of_its_own() -> None:
    space = make_space(
        operators=["ties", "linear"], operator_per="group", groups=Groups(modules=("attention", "mlp")), genes={}
    )
    names = [str(gene) for gene in space.gene_names()]
    assert names[0] == "operator, attention, layers 0 to 6"
    genome = np.full(space.dim, 0.4)
    genome[names.index("operator, mlp, layers 0 to 6")] = 0.9
    recipe = space.decode(genome)
    found = {rule_for(recipe, f"model.layers.3.{m}.weight").operator for m in ("self_attn.q_proj", "mlp.up_proj")}
    assert [rule.operator for rule in recipe.rules] == ["ties", "linear", "passthrough"]
    assert found == {"ties", "linear"}


def test_between_knots_of_different_operators_the_nearer_knot_counts() -> None:
    space = make_space(
        operators=["ties", "linear"],
        operator_per="group",
        groups=Groups(layer_blocks=2, modules=("all",), depth="linear"),
        genes={"weight": (0.0, 1.0)},
    )
    recipe = space.decode(np.array([0.1, 0.2, 0.3, 0.9, 0.5, 0.6]))
    rules = [rule_for(recipe, f"model.layers.{layer}.mlp.up_proj.weight") for layer in range(7)]
    assert [rule.operator for rule in rules] == ["ties"] * 4 + ["linear"] * 3
    assert all(rule.inputs == rules[0].inputs for rule in rules[:4])
    assert all(rule.inputs == rules[6].inputs for rule in rules[4:])


def test_what_holds_for_the_whole_model_has_one_gene() -> None:
    space = make_space(
        genes={"weight": (0.0, 1.0), "lines_beta": (0.0, 1.0), "lambda": (0.5, 1.5)}, whole_model=["lambda"]
    )
    whole = [str(gene) for gene in space.gene_names() if gene.module is None]
    assert whole == ["lambda", "lines_beta"]
    recipe = space.decode(np.full(space.dim, 0.25))
    assert {rule.parameters["lines_beta"] for rule in recipe.rules} == {0.25}


def test_a_gene_may_be_frozen_parent_by_parent() -> None:
    space = make_space(operators=["mwa"], genes={"metric": {"words": 2.0, "sums": 1.0}, "power": (0.0, 8.0)})
    rule = space.decode(np.full(space.dim, 0.5)).rules[0]
    assert [i.parameters["metric"] for i in rule.inputs] == [2.0, 1.0]


def test_linear_depth_interpolates_between_knots() -> None:
    space = make_space(
        operators=["task_arithmetic"],
        genes={"weight": (0.0, 1.0)},
        groups=Groups(layer_blocks=2, modules=("attention", "mlp", "other"), depth="linear"),
        parents={name: PARENTS[name] for name in ("base", "words")},
    )
    # attention 0 -> 1 over seven layers, mlp constant 0.3, other 0.9
    recipe = space.decode(np.array([0.0, 1.0, 0.3, 0.3, 0.9]))
    found = [
        rule_for(recipe, f"model.layers.{layer}.self_attn.q_proj.weight").inputs[0].parameters["weight"]
        for layer in range(7)
    ]
    assert found == pytest.approx([layer / 6 for layer in range(7)], abs=1e-6)
    assert rule_for(recipe, "model.norm.weight").inputs[0].parameters["weight"] == 0.9


def test_linear_depth_keeps_densities_on_the_grid_of_cached_thresholds() -> None:
    space = make_space(groups=Groups(layer_blocks=3, depth="linear"))
    recipe = space.decode(np.linspace(0.0, 1.0, space.dim))
    densities = [float(i.parameters["density"]) * 256 for rule in recipe.rules for i in rule.inputs]
    assert all(density.is_integer() for density in densities)


def test_with_all_modules_embeddings_follow_the_first_block_and_the_head_the_last() -> None:
    space = make_space(groups=Groups(layer_blocks=2, modules=("all",)))
    recipe = space.decode(np.linspace(0.0, 1.0, space.dim))
    first, last = (rule_for(recipe, f"model.layers.{layer}.mlp.up_proj.weight") for layer in (0, 6))
    assert rule_for(recipe, "model.embed_tokens.weight").inputs == first.inputs
    assert rule_for(recipe, "lm_head.weight").inputs == rule_for(recipe, "model.norm.weight").inputs == last.inputs
    assert first.inputs != last.inputs


def test_modules_without_genes_stay_the_base() -> None:
    recipe = make_space(groups=Groups(modules=("mlp",))).decode(np.full(4, 0.5))
    kept = rule_for(recipe, "model.layers.3.self_attn.q_proj.weight")
    assert (kept.operator, kept.inputs) == ("passthrough", (Input("base"),))


def test_weights_that_cancel_become_the_uniform_mean() -> None:
    space = make_space(operators=["linear"], genes={"weight": (-1.0, 1.0)}, groups=Groups(modules=("all",)))
    weights = [i.parameters["weight"] for i in space.decode(np.array([0.75, 0.25])).rules[0].inputs]
    assert weights[0] == weights[1] != 0.0


def test_encode_of_a_foreign_recipe_is_the_nearest_genome() -> None:
    space = make_space(genes={"weight": (0.0, 0.5), "density": (0.1, 1.0)})
    ties = space.landmarks()[-1].recipe
    inputs = space.decode(space.encode(ties)).rules[0].inputs
    assert [dict(i.parameters) for i in inputs] == [{"weight": 0.5, "density": 51 / 256}] * 2


def test_encode_refuses_an_operator_that_the_space_lacks() -> None:
    space = make_space()
    with pytest.raises(SpaceError, match=r"expected one of \['ties'\] everywhere, found \['passthrough'\]"):
        space.encode(space.landmarks()[0].recipe)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"operators": ["tyes"]}, "did you mean 'ties'"),
        ({"operators": []}, "expected one or more"),
        ({"operators": ["ties", "ties"]}, "each once"),
        ({"genes": {"wieght": (0.0, 1.0)}}, "did you mean 'weight'"),
        ({"genes": {"t": (0.0, 1.0)}}, "expected some of .* for ties"),
        ({"genes": {"weight": (1.0, 0.0)}}, "genes.weight: bounds: expected two finite numbers"),
        ({"genes": {"weight": (0.0, float("nan"))}}, "genes.weight"),
        ({"genes": {"weight": (0.0, 1.0, 2.0)}}, "genes.weight: expected .low, high. or a number"),
        ({"genes": {"density": (0.0, 1.0)}}, "genes.density: expected a share in"),
        ({"genes": {"density": (0.501, 0.502)}}, "multiple of 1/256"),
        ({"genes": {"density": 1.5}}, "density: expected a share"),
        ({"genes": {"weight": 1.0}}, "nothing to search"),
        ({"groups": Groups(layer_blocks=8)}, "at most one per layer"),
        ({"genes": {"normalise": True}}, "did you mean 'normalize'"),
        ({"genes": {"normalize": 3.0}}, "genes.normalize: expected true or false"),
        ({"genes": {"zero_sign": ("plus", "minus")}}, "genes.zero_sign: expected one of"),
        ({"genes": {"zero_sign": ("plus",)}}, "genes.zero_sign: expected two or more different choices"),
        ({"genes": {"weight": {"words": 1.0}}}, "genes.weight: expected a value for each of"),
        ({"genes": {"lambda": {"words": 1.0, "sums": 1.0}}}, "genes.lambda: expected one value"),
        ({"whole_model": ["lambada"]}, "did you mean 'lambda'"),
        ({"operators": ["mwa"], "genes": {"power": (0.0, 8.0)}}, "expected the parameter 'metric'"),
        (
            {"operators": ["linear"], "genes": {"weight": {"words": 1.0, "sums": -1.0}, "normalize": (False, True)}},
            "expected weights that do not cancel",
        ),
        ({"operators": ["linear"], "genes": {"weight": 0.0}}, "nothing to search"),
        (
            {"operators": ["linear", "task_arithmetic"], "genes": {"weight": 0.0, "lambda": (0.0, 1.0)}},
            "weights that do not cancel",
        ),
        ({"operators": ["passthrough"], "genes": {"scale": (0.0, 1.0)}}, "exactly 1 inputs, found 2"),
        ({"parents": {"base": ParentSource("b")}}, "at least one more"),
        ({"parents": {"words": ParentSource("w")}}, "expected the base 'base'"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        make_space(**overrides)


def test_a_genome_of_another_length_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"expected shape \(28,\), found \(3,\)"):
        make_space().decode(np.zeros(3))


def test_without_a_base_every_parent_is_merged_and_no_landmark_needs_task_vectors() -> None:
    parents = {name: ParentSource(name) for name in ("left", "right")}
    space = WeightSpace(
        parents, "left", n_layers=4, operators=["slerp"], groups=Groups(2), genes={"t": (0.0, 1.0)}, merge_base=True
    )
    assert [i.parent for i in space.decode(np.full(space.dim, 0.5)).rules[0].inputs] == ["left", "right"]
    assert [landmark.name for landmark in space.landmarks()] == ["left", "right", "uniform mean"]


def test_a_group_per_tensor_gives_each_tensor_the_genes_that_carry_its_name() -> None:
    names = ("norm.weight", "model.norm.weight", "model.layers.1.norm.weight", "model.layers.11.norm.weight")
    space = make_space(
        operators=["task_arithmetic"], genes={"weight": (-1.0, 1.0)}, groups=Groups(modules=("tensor",), tensors=names)
    )
    genome = np.random.default_rng(0).random(space.dim)
    recipe = space.decode(genome)
    for gene, info in enumerate(space.gene_names()):
        (given,) = (i for i in rule_for(recipe, str(info.tensor)).inputs if i.parent == info.parent)
        assert given.parameters["weight"] == pytest.approx(2 * genome[gene] - 1, abs=1e-5)
        assert str(info) == f"weight, {info.parent}, {info.tensor}"


def test_a_recipe_of_blocks_lies_in_the_space_of_tensors() -> None:
    blocks = make_space(operators=["task_arithmetic"], genes={"weight": (0.0, 1.5)})
    tensors = make_space(
        operators=["task_arithmetic"],
        genes={"weight": (0.0, 1.5)},
        groups=Groups(modules=("tensor",), tensors=tuple(NAMES)),
    )
    recipe = blocks.decode(np.random.default_rng(1).random(blocks.dim))
    finer = tensors.decode(tensors.encode(recipe))
    for name in NAMES:
        assert rule_for(finer, name).inputs == rule_for(recipe, name).inputs


def test_operators_share_a_gene_and_read_it_between_bounds_of_their_own() -> None:
    space = make_space(
        operators=["task_arithmetic", "regmean"],
        operator_per="group",
        groups=Groups(2, ("attention", "other")),
        genes={"weight": (0.0, 1.5), "regmean": {"weight": (0.1, 10.0)}},
        statistics={"words": "w", "sums": "s"},
    )
    names = [str(info) for info in space.gene_names()]
    assert sum(name.startswith("weight, words") for name in names) == 3  # one for each group, whatever the operator
    genome = np.array([0.9 if name.startswith("operator, attention") else 0.25 for name in names])
    recipe = space.decode(genome)
    by_operator = {rule.operator: [i.parameters["weight"] for i in rule.inputs] for rule in recipe.rules[:3]}
    assert by_operator["regmean"] == pytest.approx([0.1 * 100**0.25] * 2, rel=1e-5)
    assert by_operator["task_arithmetic"] == pytest.approx([0.375] * 2, rel=1e-5)
    assert recipe.statistics == {"words": "w", "sums": "s"}


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"off_diagonl": (0.0, 1.0)}, r"genes.regmean.off_diagonl: expected one of the genes \['weight'\]"),
        ({"weight": 1.0}, r"genes.regmean.weight: expected \[low, high\], found 1.0"),
        ({"weight": (-1.0, 1.0)}, "genes.regmean.weight: expected a number of at least 0"),
    ],
)
def test_bounds_of_one_operator_that_cannot_be_are_told(own: dict[str, Any], words: str) -> None:
    with pytest.raises(SpaceError, match=words):
        make_space(operators=["task_arithmetic", "regmean"], genes={"weight": (0.0, 1.5), "regmean": own})
