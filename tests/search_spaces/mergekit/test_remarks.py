"""What published recipes say in vain: told, and the merge is the one that mergekit makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from search_spaces.errors import SpaceError
from search_spaces.mergekit.reading import Reading, read_with_remarks
from search_spaces.mergekit.remarks import meant
from search_spaces.recipes.recipe import ParentSource
from search_spaces.recipes.rule import Input
from tests.search_spaces.mergekit.test_reading import GOLDEN, LINEAR, MODELS, SLICE, TIES, merged, rule_for

A, B = ({"model": f"hub/{name}", "parameters": {"weight": weight}} for name, weight in (("a", 0.5), ("b", 0.3)))
SLERP = {"merge_method": "slerp", "base_model": "hub/a", "models": MODELS, "parameters": {"t": 0.5}, "dtype": "float32"}


def read(tmp_path: Path, data: object, **options: Any) -> Reading:
    file = tmp_path / "merge.yml"
    file.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    return read_with_remarks(file, **options)


def with_parameters(data: dict[str, Any], **parameters: object) -> dict[str, Any]:
    return {**data, "parameters": {**data.get("parameters", {}), **parameters}}


@pytest.mark.parametrize(
    ("plain", "published", "remark"),
    [
        (LINEAR, {**LINEAR, "architecture": "LlamaForCausalLM"}, "architecture: ignored, as by mergekit: no such key"),
        (LINEAR, {**LINEAR, "select_topk": 0.1}, "select_topk: ignored, .*: it belongs under `parameters`"),
        (
            LINEAR,
            {**LINEAR, "dype": "bfloat16"},
            "dype: ignored, .*: no such key; 'dtype' beside it counts",
        ),
        (LINEAR, with_parameters(LINEAR, density=0.5), r"parameters.density: .*: linear does not use it"),
        (LINEAR, with_parameters(LINEAR, dtype="bfloat16"), r"parameters.dtype: .*at the top of the file"),
        (LINEAR, {**LINEAR, "models": [{**A, "layer_range": [0, 9]}, B]}, r"models\[0\].layer_range: .*`slices` only"),
        (LINEAR, {**LINEAR, "models": [{**A, "weight": 9}, B]}, r"models\[0\].weight: .*belongs under `parameters`"),
        (LINEAR, {**LINEAR, "MODELS": MODELS, "x-common": 1}, "MODELS: ignored"),
        (LINEAR, {**LINEAR, "tokenizer": None, "tokenizer_config": 1}, "tokenizer_config: ignored"),
        (TIES, {**TIES, "models": [{"model": "hub/base", "parameters": {"weight": 0.7}}, *MODELS]}, ""),
        (TIES, with_parameters(TIES, int8_mask=True), ""),
        (
            TIES,
            {**TIES, "models": [{**A, "parameters": {"weight": 0.5, "lambda": 2}}, B]},
            r"models\[0\].parameters.lambda: .*counts for all models",
        ),
        (SLERP, with_parameters(SLERP, normalize=True), "parameters.normalize: .*slerp does not use it"),
        (SLERP, SLERP, r"models\[0\].parameters.weight, models\[1\].parameters.weight: .*slerp does not use it"),
    ],
)
def test_what_mergekit_ignores_changes_nothing_and_is_told(
    plain: dict[str, Any], published: dict[str, Any], remark: str, tmp_path: Path
) -> None:
    found = read(tmp_path, published)
    assert found.recipe == read(tmp_path, plain).recipe
    assert bool(found.remarks) == bool(remark)
    if remark:
        with pytest.raises(SpaceError, match=f"strict: {remark}"):
            read(tmp_path, published, strict=True)


def test_a_slip_that_costs_no_more_than_rounding_is_told(tmp_path: Path) -> None:
    data = {"merge_method": "passthrough", "models": [{"model": str(GOLDEN / "models/base")}], "dype": "bfloat16"}
    found = read(tmp_path, data)
    assert found.recipe.dtype == "float32"
    assert "did you mean 'dtype'? Without it the result has the parents' dtype" in found.remarks[0]


def test_keys_without_effect_at_many_places_are_one_line(tmp_path: Path) -> None:
    models = [{"model": f"hub/{i}", "parameters": {"weight": 1, "density": 0.5}} for i in range(6)]
    [remark] = read(tmp_path, {**LINEAR, "models": models}).remarks
    assert remark.startswith("models[0].parameters.density, models[1].parameters.density, models[2].")
    assert " and 3 more: ignored" in remark


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {**TIES, "models": [{"model": "hub/a", "parameters": {"wieght": 1}}]},
            "found 'wieght' .did you mean 'weight'",
        ),
        (with_parameters(TIES, Density=0.5), "found 'Density' .did you mean 'density'"),
        ({**LINEAR, "basemodel": "hub/a"}, "found 'basemodel' .did you mean 'base_model'"),
        ({**LINEAR, "tokeniser_source": "base"}, "found 'tokeniser_source' .did you mean 'tokenizer_source'"),
        (with_parameters(LINEAR, weight=[{"fliter": "mlp", "value": 1}]), "found 'fliter' .did you mean 'filter'"),
    ],
)
def test_a_slip_of_a_key_that_would_change_the_merge_is_an_error(
    data: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SpaceError, match=f"{message}.*other unknown keys are warnings"):
        read(tmp_path, data)


@pytest.mark.parametrize(
    ("name", "known"),
    [("name", None), ("architecture", None), ("merge_name", None), ("dype", "dtype"), ("lamda", "lambda"), ("T", "t")],
)
def test_only_typing_slips_count_as_misspelt(name: str, known: str | None) -> None:
    assert meant(name, ("merge_method", "dtype", "lambda", "t", "models")) == known


def test_an_error_names_what_was_ignored_beside_it(tmp_path: Path) -> None:
    data = {**LINEAR, "models": [{"model": "hub/a", "weight": 0.5}]}
    with pytest.raises(SpaceError, match=r"(?s)expected the parameter 'weight'.*models\[0\].weight: .*`parameters`"):
        read(tmp_path, data)


def test_parameters_of_ours_are_used_and_told(tmp_path: Path) -> None:
    data = {**TIES, "merge_method": "sce", "models": [{"model": "hub/a"}, {"model": "hub/b"}]}
    found = read(tmp_path, with_parameters(data, **{"lambda": 0.5}))
    assert found.recipe.rules[0].parameters["lambda"] == 0.5
    assert found.remarks == ("parameters.lambda: used, but mergekit's sce has no such parameter",)


@pytest.mark.parametrize("revision", ["v1", 7])
def test_a_revision_beside_a_model_is_that_models(revision: object, tmp_path: Path) -> None:
    found = read(tmp_path, {**LINEAR, "models": [{**A, "revision": revision}, B]})
    assert found.recipe.parents["a"] == ParentSource("hub/a", str(revision))
    assert f"write model: hub/a@{revision}" in found.remarks[0]


def test_a_directory_has_no_revision(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    found = read(tmp_path, {**LINEAR, "models": [{**A, "model": "./a", "revision": "main"}, B]})
    assert found.recipe.parents["a"] == ParentSource(str(tmp_path / "a"))
    assert "model@revision is for the hub" in found.remarks[0]


def test_two_revisions_of_one_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"models\[0\]: expected one revision, found 'v2' and 'v1'"):
        read(tmp_path, {**LINEAR, "models": [{**A, "model": "hub/a@v2", "revision": "v1"}, B]})


@pytest.mark.parametrize("text", ["5e-1", "'0.5'", "+.5", "5.E-1", "'5E-01'"])
def test_numbers_that_yaml_reads_as_text_are_numbers(text: str, tmp_path: Path) -> None:
    head = "{merge_method: linear, dtype: float32, models: [{model: hub/a, parameters: {weight: "
    assert read(tmp_path, head + text + "}}]}").recipe.rules[0].inputs == (Input("a", {"weight": 0.5}),)
    gradient = f"[{{filter: mlp, value: [{text}, {text}]}}, {{value: {text}}}]"
    sliced = (
        "{merge_method: linear, dtype: float32, slices: [{sources: [{model: hub/a, layer_range: ['0', '2'], "
        "parameters: {weight: "
    )
    recipe = read(tmp_path, sliced + gradient + "}}]}]}").recipe
    assert {given.parameters["weight"] for rule in recipe.rules for given in rule.inputs} == {0.5}


@pytest.mark.parametrize("text", ["0,5", "1/2", "half", "0.5.1", "true"])
def test_other_text_is_no_number(text: str, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=f"expected a finite number, found {text!r}"):
        read(tmp_path, {**LINEAR, "models": [{"model": "hub/a", "parameters": {"weight": text}}]})


def test_a_density_above_1_keeps_everything_as_in_mergekit(tmp_path: Path) -> None:
    found = read(tmp_path, with_parameters(TIES, density=1.2))
    assert {given.parameters["density"] for given in found.recipe.rules[0].inputs} == {1.0}
    assert found.remarks == ("parameters.density: what is above 1 counts as 1, as in mergekit",)


@pytest.mark.parametrize("method", ["ties", "dare_linear", "breadcrumbs", "della"])
@pytest.mark.parametrize("normalize", [True, False])
def test_density_0_is_no_task_vector(method: str, normalize: bool, tmp_path: Path) -> None:
    """The reference is arithmetic on the golden models: density 0 leaves δ of the other parent, over both weights."""
    models = [str(GOLDEN / "models" / name) for name in ("base", "expert0", "expert1")]
    entries = [
        {"model": models[1], "parameters": {"weight": 0.6, "density": 0}},
        {"model": models[2], "parameters": {"weight": 0.3, "density": 1}},
    ]
    data = {"merge_method": method, "base_model": models[0], "models": entries, "dtype": "float32"}
    ours = merged(read(tmp_path, with_parameters(data, normalize=normalize)).recipe)
    votes = method in ("ties", "della")
    share = 0.3 if not normalize else 1.0 if votes else 0.3 / 0.9
    for name, tensor in ours.items():
        base, other = (_tensor(model, name) for model in (models[0], models[2]))
        assert (tensor - (base + share * (other - base))).abs().max() < 1e-6


def test_density_0_at_the_beginning_of_a_gradient_is_the_base_there(tmp_path: Path) -> None:
    models = {name: str(GOLDEN / "models" / name) for name in ("base", "expert0", "expert1")}
    own = {"weight": 0.4, "density": [0, 1]}
    entries = [{"model": models[name], "parameters": own} for name in ("expert0", "expert1")]
    data = {"merge_method": "dare_ties", "base_model": models["base"], "models": entries, "dtype": "float32"}
    ours = merged(read(tmp_path, data).recipe)
    name = "model.layers.0.mlp.up_proj.weight"
    assert ours[name].equal(_tensor(models["base"], name))
    assert not ours[name.replace(".0.", ".3.")].equal(_tensor(models["base"], name.replace(".0.", ".3.")))


def test_a_slice_of_one_model_under_slerp_is_that_model(tmp_path: Path) -> None:
    both = {"sources": [*SLICE["sources"], {"model": "hub/b", "layer_range": [0, 2]}]}
    data = {**SLERP, "models": None, "slices": [both, {"sources": [{"model": "hub/b", "layer_range": [2, 4]}]}]}
    recipe = read(tmp_path, data).recipe
    assert rule_for(recipe, "layers.1.mlp.w").operator == "slerp"
    assert rule_for(recipe, "layers.3.mlp.w").operator == "passthrough"
    assert rule_for(recipe, "layers.3.mlp.w").inputs == (Input("b"),)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"base_model": "hub/a", "gate_mode": "hidden", "experts": []},
            "this is a mergekit-moe file .experts, gate_mode.*",
        ),
        ({"merge_method": "moe", "experts": []}, "this is a mergekit-moe file"),
        ({"genome": {"models": []}, "tasks": []}, "this is a mergekit-evolve file .*evomerge init --from"),
        ({"layer_slices": []}, "this is a bakllama file"),
    ],
)
def test_files_of_other_programs_are_named(data: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=message):
        read(tmp_path, data)


@pytest.mark.parametrize("name", ["chatml", "llama3", "mistral", "alpaca", "exaone"])
def test_chat_templates_by_name_say_what_their_formats_say(name: str, tmp_path: Path) -> None:
    from jinja2 import Template

    template = read(tmp_path, {**LINEAR, "chat_template": name}).recipe.tokenizer.chat_template
    assert template is not None
    chat = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Bye")]
    messages = [{"role": role, "content": content} for role, content in chat]
    text = Template(template).render(messages=messages, bos_token="<s>", eos_token="</s>", add_generation_prompt=True)
    turns = {
        "chatml": "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in chat)
        + "<|im_start|>assistant\n",
        "llama3": "<s>"
        + "".join(f"<|start_header_id|>{role}<|end_header_id|>\n\n{content}<|eot_id|>" for role, content in chat)
        + "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "alpaca": "Be brief.\n\n### Instruction:\nHi\n\n### Response:\nHello\n\n"
        "### Instruction:\nBye\n\n### Response:\n",
        "exaone": "[|system|]Be brief.[|endofturn|]\n[|user|]Hi\n[|assistant|]Hello[|endofturn|]\n"
        "[|user|]Bye\n[|assistant|]",
        "mistral": "<s> [INST] Be brief.\n\nHi [/INST] Hello</s> [INST] Bye [/INST]",
    }
    assert text == turns[name]


def _tensor(model: str, name: str) -> Any:
    from safetensors.torch import load_file

    return load_file(Path(model) / "model.safetensors")[name]
