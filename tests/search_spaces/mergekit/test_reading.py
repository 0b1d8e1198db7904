from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from search_spaces.errors import SpaceError
from search_spaces.layers.sources import output_names
from search_spaces.mergekit.reading import read_mergekit
from search_spaces.mergekit.writing import to_mergekit
from search_spaces.merging.materialise import merged_tensor
from search_spaces.parents.parents import Parents
from search_spaces.recipes.groups import Groups, locate, matches
from search_spaces.recipes.recipe import OutputTokenizer, ParentSource, Recipe
from search_spaces.recipes.rule import Input, Parameter, Rule, Where
from search_spaces.spaces.weight_space import WeightSpace
from tests.conftest import Family

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = sorted(path.stem for path in GOLDEN.glob("*.yml"))


def merged(recipe: Recipe) -> dict[str, torch.Tensor]:
    parents = Parents.open(recipe.parents)
    return {name: merged_tensor(recipe, parents, name) for name in output_names(recipe, parents)}


def read(tmp_path: Path, data: object) -> Recipe:
    file = tmp_path / "merge.yml"
    file.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    return read_mergekit(file)


@pytest.mark.parametrize("case", CASES)
def test_merges_equal_mergekits(case: str) -> None:
    reference = load_file(GOLDEN / f"{case}.safetensors")
    ours = merged(read_mergekit(GOLDEN / f"{case}.yml"))
    assert set(ours) == set(reference)
    off = sum(int(((ours[name] - expected).abs() > 1e-6).sum()) for name, expected in reference.items())
    # arcee_fusion compares rounding errors: a few elements fall either way, on mergekit's side from machine to machine.
    most = sum(map(torch.numel, reference.values())) // 10_000 if case == "arcee_fusion" else 0
    assert off <= most


@pytest.mark.parametrize("case", CASES)
def test_a_recipe_written_for_mergekit_reads_back_as_the_same_merge(case: str, tmp_path: Path) -> None:
    recipe = read_mergekit(GOLDEN / f"{case}.yml")
    again = merged(read(tmp_path, to_mergekit(recipe)))
    assert all(torch.equal(again[name], tensor) for name, tensor in merged(recipe).items())


@pytest.mark.parametrize(
    ("operator", "groups"),
    [
        ("ties", Groups(layer_blocks=2)),
        ("task_arithmetic", Groups(layer_blocks=2, modules=("mlp",))),
        ("task_arithmetic", Groups(layer_blocks=2, modules=("all",))),
        ("linear", Groups(layer_blocks=2, depth="linear")),
        ("slerp", Groups(layer_blocks=1, modules=("attention", "mlp", "other"))),
    ],
)
def test_what_a_search_finds_can_be_written_for_mergekit(
    operator: str, groups: Groups, family: Family, tmp_path: Path
) -> None:
    parents = {name: ParentSource(str(path)) for name, path in family.parents.items()}
    space = WeightSpace(parents, "base", n_layers=2, operators=[operator], groups=groups, genes={}, dtype="float32")
    recipe = space.decode(np.linspace(0.1, 0.9, space.dim))
    again = merged(read(tmp_path, to_mergekit(recipe)))
    assert all(torch.equal(again[name], tensor) for name, tensor in merged(recipe).items())


def test_a_plain_recipe_is_written_without_opening_its_parents() -> None:
    parents = {"base": ParentSource("hub/base"), "words": ParentSource("hub/words", "abc")}
    rules = (
        Rule("ties", (Input("words", {"weight": 0.5, "density": 0.2}),), where=Where(contains=("mlp",))),
        Rule("ties", (Input("words", {"weight": 0.9, "density": 0.2}),)),
    )
    data = yaml.safe_load(to_mergekit(Recipe(parents, "base", rules)))
    weight = [{"filter": "mlp", "value": 0.5}, {"value": 0.9}]
    assert data["models"] == [{"model": "hub/words@abc", "parameters": {"weight": weight, "density": 0.2}}]
    assert (data["base_model"], data["out_dtype"]) == ("hub/base", "bfloat16")


def two_parents(*rules: Rule, **changes: Any) -> Recipe:
    return Recipe({"base": ParentSource("b"), "words": ParentSource("w")}, "base", rules, **changes)


WORDS: dict[str, Parameter] = {"weight": 1.0}


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (two_parents(Rule("dare_ties", (Input("words", WORDS),))), "rescale: mergekit restores the L1 norm"),
        (
            two_parents(
                Rule("linear", (Input("words", WORDS),), where=Where((0, 1))), Rule("ties", (Input("words", WORDS),))
            ),
            r"one merge_method per file, found \['linear', 'ties'\]",
        ),
        (two_parents(Rule("ties", (Input("base", WORDS),))), "never merges the base itself"),
    ],
)
def test_what_mergekit_cannot_do_is_refused_with_the_reason(recipe: Recipe, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        to_mergekit(recipe)


MODELS: list[dict[str, Any]] = [
    {"model": "hub/a", "parameters": {"weight": 0.5}},
    {"model": "hub/b", "parameters": {"weight": 0.3}},
]
LINEAR: dict[str, Any] = {"merge_method": "linear", "models": MODELS, "dtype": "float32"}
TIES: dict[str, Any] = {**LINEAR, "merge_method": "ties", "base_model": "hub/base"}
SLICE: dict[str, Any] = {"sources": [{"model": "hub/a", "layer_range": [0, 2]}]}


def rule_for(recipe: Recipe, name: str) -> Rule:
    return next(rule for rule in recipe.rules if matches(rule.where, name, locate(name)))


def test_a_scalar_merge_is_one_rule(tmp_path: Path) -> None:
    recipe = read(tmp_path, LINEAR)
    assert recipe.rules == (Rule("linear", (Input("a", {"weight": 0.5}), Input("b", {"weight": 0.3}))),)
    assert dict(recipe.parents) == {"a": ParentSource("hub/a"), "b": ParentSource("hub/b")}
    assert (recipe.base, recipe.dtype, recipe.layers) == ("a", "float32", None)


def test_out_dtype_is_what_the_result_is_rounded_to(tmp_path: Path) -> None:
    assert read(tmp_path, {**LINEAR, "out_dtype": "bfloat16"}).dtype == "bfloat16"


def test_without_a_dtype_the_parents_decide(tmp_path: Path) -> None:
    recipe = read(tmp_path, {"merge_method": "passthrough", "models": [{"model": str(GOLDEN / "models/base")}]})
    assert recipe.dtype == "float32"


def test_the_base_is_not_merged_as_a_task_vector_even_if_listed(tmp_path: Path) -> None:
    recipe = read(tmp_path, {**TIES, "models": [{"model": "hub/base"}, *MODELS]})
    assert [i.parent for i in recipe.rules[0].inputs] == ["a", "b"]
    assert recipe.base == "base"


def test_the_base_of_slerp_is_its_beginning(tmp_path: Path) -> None:
    data = {"merge_method": "slerp", "models": [{"model": "hub/a"}, {"model": "hub/b"}], "dtype": "float32"}
    recipe = read(tmp_path, {**data, "base_model": "hub/b", "parameters": {"t": 0.2}})
    assert [i.parent for i in recipe.rules[0].inputs] == ["b", "a"]


def test_parameters_of_the_source_come_before_those_of_the_slice_and_of_the_file(tmp_path: Path) -> None:
    sources = [
        {"model": "hub/a", "layer_range": [0, 2], "parameters": {"weight": 0.1}},
        {"model": "hub/b", "layer_range": [0, 2]},
    ]
    slices = [{"sources": sources, "parameters": {"weight": 0.2}}, {"sources": sources[1:]}]
    recipe = read(
        tmp_path, {"merge_method": "linear", "slices": slices, "parameters": {"weight": 0.3}, "dtype": "float32"}
    )
    early, late = rule_for(recipe, "layers.0.mlp.w"), rule_for(recipe, "layers.3.mlp.w")
    assert [i.parameters["weight"] for i in early.inputs] == [0.1, 0.2]
    assert [i.parameters["weight"] for i in late.inputs] == [0.3]
    assert rule_for(recipe, "embed_tokens.weight").inputs == early.inputs
    assert rule_for(recipe, "lm_head.weight").inputs == late.inputs
    assert recipe.layers == ({"a": 0, "b": 0}, {"a": 1, "b": 1}, {"b": 0}, {"b": 1})


def test_a_gradient_runs_from_embeddings_to_head_within_its_slice(tmp_path: Path) -> None:
    sources = [{"model": "hub/a", "layer_range": [4, 9]}]
    data = {"merge_method": "passthrough", "slices": [{"sources": sources}], "dtype": "float32"}
    recipe = read(tmp_path, {**data, "parameters": {"scale": [0.0, 1.0, 0.5]}})
    names = ["embed_tokens.weight", *(f"layers.{i}.mlp.w" for i in range(5)), "norm.weight"]
    scales = [rule_for(recipe, name).inputs[0].parameters["scale"] for name in names]
    assert scales == [0.0, 0.0, 0.5, 1.0, 0.75, 0.5, 0.5]


def test_different_filters_of_different_models_meet_in_one_tensor(tmp_path: Path) -> None:
    models = [
        {"model": "hub/a", "parameters": {"weight": [{"filter": "mlp", "value": 1}, {"value": 2}]}},
        {"model": "hub/b", "parameters": {"weight": [{"filter": "down", "value": 3}, {"value": 4}]}},
    ]
    recipe = read(tmp_path, {**LINEAR, "models": models})
    names = {"mlp.down": [1, 3], "mlp.up": [1, 4], "x.down": [2, 3], "x.up": [2, 4]}
    for name, weights in names.items():
        assert [i.parameters["weight"] for i in rule_for(recipe, f"layers.0.{name}.weight").inputs] == weights


def test_the_first_filter_that_matches_counts_and_none_falls_through_to_the_next_level(tmp_path: Path) -> None:
    weight = [{"filter": "self_attn.q", "value": 1}, {"filter": "self_attn", "value": 2}]
    models = [{"model": "hub/a", "parameters": {"weight": weight}}]
    recipe = read(tmp_path, {**LINEAR, "models": models, "parameters": {"weight": 3}})
    names = {"self_attn.q_proj": 1, "self_attn.k_proj": 2, "mlp.up_proj": 3}
    for name, expected in names.items():
        assert rule_for(recipe, f"layers.0.{name}.weight").inputs[0].parameters["weight"] == expected


def test_int8_mask_is_accepted_without_effect(tmp_path: Path) -> None:
    assert read(tmp_path, {**TIES, "parameters": {"int8_mask": True}}) == read(tmp_path, TIES)


@pytest.mark.parametrize(("given", "meant"), [({}, "l1"), ({"rescale": True}, "l1"), ({"rescale": False}, "none")])
def test_dare_rescales_as_mergekit_does(given: dict[str, bool], meant: str, tmp_path: Path) -> None:
    recipe = read(tmp_path, {**TIES, "merge_method": "dare_ties", "parameters": given})
    assert recipe.rules[0].parameters == {"rescale": meant}


def test_truth_values_may_be_numbers(tmp_path: Path) -> None:
    assert read(tmp_path, {**TIES, "parameters": {"normalize": 0.0}}).rules[0].parameters == {"normalize": False}


def test_paths_are_found_beside_the_file_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    for place in (tmp_path, here):
        (place / "a").mkdir(parents=True)
    (here / "b").mkdir()
    monkeypatch.chdir(here)
    models = [{"model": name, "parameters": {"weight": 1}} for name in ("a", "b", "c@v2")]
    recipe = read(tmp_path, {**LINEAR, "models": models})
    assert dict(recipe.parents) == {
        "a": ParentSource(str(tmp_path / "a")),
        "b": ParentSource("b"),
        "c": ParentSource("c", "v2"),
    }


def test_parents_of_one_name_are_told_apart(tmp_path: Path) -> None:
    models = [{"model": f"{owner}/m", "parameters": {"weight": 1}} for owner in ("x", "y", "x")]
    assert [i.parent for i in read(tmp_path, {**LINEAR, "models": models}).rules[0].inputs] == ["m", "m-2", "m"]


@pytest.mark.parametrize(
    ("reference", "meant"),
    [
        ("hub/a", ParentSource("hub/a")),
        ("hub/a@v1", ParentSource("hub/a", "v1")),
        ("hub/a+hub/lora", ParentSource("hub/a", None, "hub/lora")),
        ("hub/a@v1+hub/lora@v2", ParentSource("hub/a", "v1", "hub/lora", "v2")),
        ({"model": {"path": "hub/a", "revision": "v1"}}, ParentSource("hub/a", "v1")),
        ({"model": "hub/a", "lora": {"path": "hub/lora"}}, ParentSource("hub/a", None, "hub/lora")),
    ],
)
def test_models_are_named_in_every_form_of_mergekits(reference: object, meant: ParentSource, tmp_path: Path) -> None:
    data = {"merge_method": "passthrough", "models": [{"model": reference}], "dtype": "float32"}
    recipe = read(tmp_path, data)
    assert list(recipe.parents.values()) == [meant]
    assert read(tmp_path, to_mergekit(recipe)).parents == recipe.parents


@pytest.mark.parametrize(
    ("keys", "meant"),
    [
        ({}, OutputTokenizer()),
        ({"tokenizer_source": "base"}, OutputTokenizer("base")),
        ({"tokenizer_source": "union"}, OutputTokenizer("union")),
        ({"tokenizer_source": "hub/b"}, OutputTokenizer("b")),
        ({"tokenizer_source": "model:hub/b"}, OutputTokenizer("b")),
        ({"tokenizer": {"source": "hub/b", "pad_to_multiple_of": 64}}, OutputTokenizer("b", 64)),
        ({"tokenizer": {}}, OutputTokenizer("union")),
        ({"chat_template": "auto"}, OutputTokenizer(chat_template="auto")),
        ({"chat_template": "{{ messages }}"}, OutputTokenizer(chat_template="{{ messages }}")),
    ],
)
def test_the_keys_on_the_tokenizer_are_honoured(keys: dict[str, Any], meant: OutputTokenizer, tmp_path: Path) -> None:
    recipe = read(tmp_path, {**LINEAR, **keys})
    assert recipe.tokenizer == meant
    assert read(tmp_path, to_mergekit(recipe)).tokenizer == meant
    assert Recipe.from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("a: [", "expected YAML"),
        ("a: &a [*a]", "an alias inside what it stands for"),
        ("{merge_method: linear, models: [{model: x}], parameters: {weight: &w [*w]}}", "expected YAML, found"),
        ("just text", "the file: expected keys and values, found 'just text'"),
        ({"models": MODELS}, "merge_method: expected one of .*found None"),
        ({**LINEAR, "merge_method": "tise"}, "merge_method: .*did you mean 'ties'"),
        ({**LINEAR, "merge_method": "unheard"}, "merge_method: .*found 'unheard'"),
        ({"merge_metod": "linear", "models": MODELS}, "found 'merge_metod' .did you mean 'merge_method'"),
        ({"merge_method": "linear", "modules": {"default": {}}}, "modules.default: expected exactly one of models and"),
        ({**LINEAR, "chat_template": "vicuna"}, "chat_template: expected auto, chatml, .* or the text of .*'vicuna'"),
        ({**LINEAR, "tokenizer_source": 3}, "tokenizer_source: expected a path or hub id, found 3"),
        ({**LINEAR, "tokenizer_source": "base", "tokenizer": {}}, "expected at most one of the two keys"),
        ({**LINEAR, "tokenizer": {"tokens": {"a": {"source": "hub/a"}}}}, "tokenizer.tokens: expected nothing"),
        ({**LINEAR, "tokenizer": {"sorce": "base"}}, "tokenizer: .*did you mean 'source'"),
        ({**LINEAR, "tokenizer": {"pad_to_multiple_of": -2}}, "multiple_of: expected a whole number above 0"),
        ({**LINEAR, "slices": [SLICE]}, "expected exactly one of the three keys"),
        ({"merge_method": "linear"}, "expected exactly one of the three keys"),
        ({**LINEAR, "models": [{"modle": "a"}]}, r"models\[0\]: .*did you mean 'model'"),
        ({**LINEAR, "models": [{"model": 3}]}, r"models\[0\].model: expected a path or hub id, found 3"),
        ({**LINEAR, "models": "hub/a"}, "models: expected a list"),
        ({**LINEAR, "models": [{"model": {"path": "a", "lora": "b"}}]}, r"models\[0\].model: .*found 'path'"),
        ({**LINEAR, "models": [{"model": "hub/a+"}]}, r"models\[0\].model: expected a path or hub id, found ''"),
        ({**LINEAR, "models": [{"model": "hub/a"}]}, "models: linear, parent 'a': expected the parameter 'weight'"),
        (
            {**LINEAR, "base_model": "hub/c"},
            "parent 'c': .*'weight', found none; base_model is merged too: list it under",
        ),
        ({**TIES, "parameters": {"densty": 1}}, "parameters: .*found 'densty' .did you mean 'density'"),
        ({**TIES, "parameters": {"density": -0.5}}, r"density: expected a share in \(0, 1\], found -0.5"),
        ({**TIES, "parameters": {"density": {"min": 1}}}, "parameters.density: expected a scalar"),
        ({**TIES, "parameters": {"density": []}}, "parameters.density: expected a scalar"),
        ({**TIES, "parameters": {"lambda": "big"}}, "lambda: expected a finite number, found 'big'"),
        ({**LINEAR, "merge_method": "ties"}, "base_model: expected one for ties, found none"),
        ({**LINEAR, "dtype": "int8"}, "dtype: expected one of .*found 'int8'"),
        ({"merge_method": "passthrough", "models": MODELS, "dtype": "float32"}, "exactly 1 inputs, found 2"),
        (
            {
                "merge_method": "passthrough",
                "slices": [{"sources": [{"model": "hub/a", "layer_range": [0, 3200000]}]}],
            },
            r"layer_range: expected \[first, last\) .*found \[0, 3200000\]",
        ),
        (
            {"merge_method": "passthrough", "slices": [{"sources": [{"model": "hub/a", "layer_range": [2, 2]}]}]},
            r"slices\[0\].sources\[0\].layer_range: expected \[first, last\)",
        ),
        (
            {"merge_method": "passthrough", "slices": [{"source": SLICE["sources"]}]},
            r"slices\[0\]: .*found 'source' .did you mean 'sources'",
        ),
        (
            {
                "merge_method": "linear",
                "slices": [{"sources": [*SLICE["sources"], {"model": "hub/b", "layer_range": [0, 3]}]}],
            },
            r"slices\[0\].sources: expected as many layers from each, found \[2, 3\]",
        ),
        ({**TIES, "models": None, "slices": [SLICE]}, r"expected the base model 'base' among the sources"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_its_key(data: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=message) as refusal:
        read(tmp_path, data)
    assert str(refusal.value).startswith(str(tmp_path / "merge.yml"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"absent.yml: expected a readable file"):
        read_mergekit(tmp_path / "absent.yml")
