"""`modules:`, mergekit's form for models of several parts; the reference is arithmetic on the files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
import yaml
from safetensors.torch import load_file

import evomerge as em
from search_spaces.errors import SpaceError
from search_spaces.mergekit.reading import Reading, read_with_remarks
from search_spaces.mergekit.writing import to_mergekit
from search_spaces.recipes.groups import Groups
from search_spaces.recipes.recipe import ParentSource
from search_spaces.spaces.weight_space import WeightSpace
from tests.search_spaces.architecture.test_reading import gemma3
from tests.search_spaces.mergekit.test_reading import GOLDEN, merged

TEXT, VISION, BETWEEN = "language_model.model.", "vision_tower.", "multi_modal_projector."


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three Gemma 3 with towers, 3 layers and 2 blocks."""
    made = {}
    for seed, name in enumerate("abc"):
        torch.manual_seed(seed)
        made[name] = tmp_path_factory.mktemp("modules") / name
        transformers.Gemma3ForConditionalGeneration(gemma3()).save_pretrained(made[name])
    return made


@pytest.fixture
def read(tmp_path: Path, models: dict[str, Path]) -> Callable[..., Reading]:
    """Read modules, with the models' letters for their paths."""

    def write(modules: object, method: str = "linear", **keys: object) -> Reading:
        data = {"merge_method": method, "dtype": "float32", "modules": modules, **keys}
        text = yaml.safe_dump(data)
        for name, path in models.items():
            text = text.replace(f"model: {name}\n", f"model: {path}\n")
        (tmp_path / "merge.yml").write_text(text)
        return read_with_remarks(tmp_path / "merge.yml")

    return write


def tensors(models: dict[str, Path], name: str) -> dict[str, torch.Tensor]:
    return load_file(models[name] / "model.safetensors")


def listed(**weights: float) -> dict[str, Any]:
    return {"models": [{"model": name, "parameters": {"weight": weight}} for name, weight in weights.items()]}


def sliced(*ranges: tuple[str, int, int], **parameters: object) -> dict[str, Any]:
    own = [{"sources": [{"model": name, "layer_range": [first, last]}]} for name, first, last in ranges]
    return {"slices": own, "parameters": {"weight": 1.0, **parameters}}


def both(n: int, **parameters: object) -> dict[str, Any]:
    """One slice over the whole depth of two models, with a weight that runs from one to the other."""
    sources = [
        {"model": "a", "layer_range": [0, n], "parameters": {"weight": [1, 0]}},
        {"model": "b", "layer_range": [0, n], "parameters": {"weight": [0, 1]}},
    ]
    return {"slices": [{"sources": sources}], "parameters": parameters}


def test_each_module_has_a_merge_of_its_own(read: Any, models: dict[str, Path]) -> None:
    parts = {
        "text_decoder": listed(a=0.25, b=0.75),
        "vision_tower": listed(a=1.0, c=3.0),
        "multi_modal_projector": listed(c=1.0),
    }
    found = read(parts)
    assert found.remarks == ()
    a, b, c = (tensors(models, name) for name in "abc")
    for name, tensor in merged(found.recipe).items():
        shares = ((a, 0.25), (c, 0.75)) if name.startswith(VISION) else ((a, 0.25), (b, 0.75))
        expected = c[name] if name.startswith(BETWEEN) else sum(share * part[name] for part, share in shares)
        assert torch.allclose(tensor, torch.as_tensor(expected), rtol=0, atol=1e-6), name


def test_a_stack_that_no_module_is_stays_the_bases_and_is_told(read: Any, models: dict[str, Path]) -> None:
    found = read({"text_decoder": listed(a=0.5, b=0.5)}, base_model=str(models["b"]))
    assert found.remarks == ("modules: none of them is the vision stack: it is b's",)
    b, ours = tensors(models, "b"), merged(found.recipe)
    assert all(ours[name].equal(b[name]) for name in ours if name.startswith((VISION, BETWEEN)))
    name = f"{TEXT}embed_tokens.weight"
    assert torch.allclose(ours[name], (tensors(models, "a")[name] + b[name]) / 2, rtol=0, atol=1e-6)


@pytest.mark.parametrize("cut", [False, True])
def test_gradients_run_over_each_stacks_own_layers(cut: bool, read: Any, models: dict[str, Path]) -> None:
    text = sliced(("a", 0, 2), ("b", 1, 3)) if cut else both(3)
    found = read({"text_decoder": text, "vision_tower": both(2), "multi_modal_projector": listed(a=1.0)})
    ours, a, b = merged(found.recipe), tensors(models, "a"), tensors(models, "b")
    tower = f"{VISION}encoder.layers.{{}}.mlp.fc1.weight"
    assert ours[tower.format(0)].equal(a[tower.format(0)])
    assert ours[tower.format(1)].equal(b[tower.format(1)])
    layer = f"{TEXT}layers.{{}}.mlp.up_proj.weight"
    if cut:
        expected = [a[layer.format(0)], a[layer.format(1)], b[layer.format(1)], b[layer.format(2)]]
    else:
        expected = [a[layer.format(0)], (a[layer.format(1)] + b[layer.format(1)]) / 2, b[layer.format(2)]]
    assert all(torch.allclose(ours[layer.format(i)], value, rtol=0, atol=1e-6) for i, value in enumerate(expected))
    assert layer.format(len(expected)) not in ours


def test_a_chosen_depth_of_the_decoder_is_written_where_transformers_reads_it(
    read: Any, tmp_path: Path, models: dict[str, Path]
) -> None:
    tower = sliced(("a", 0, 2))
    nothing = {"slices": [{"sources": [{"model": "a", "layer_range": [0, 0]}]}]}  # as mergekit writes a projector
    parts = {"text_decoder": sliced(("a", 0, 3), ("b", 0, 3)), "vision_tower": tower, "multi_modal_projector": nothing}
    read(parts, method="passthrough")
    out = em.merge(tmp_path / "merge.yml", tmp_path / "out").directory
    model, info = transformers.AutoModelForImageTextToText.from_pretrained(out, output_loading_info=True)
    assert (len(model.model.language_model.layers), not info["missing_keys"] and not info["unexpected_keys"]) == (
        6,
        True,
    )


def test_the_only_module_of_a_text_model_is_the_model(tmp_path: Path) -> None:
    models = [str(GOLDEN / "models" / name) for name in ("base", "expert0", "expert1")]
    sources = [
        {"model": model, "layer_range": [0, 4], "parameters": {"weight": [0.2, 0.9], "density": 0.5}}
        for model in models[1:]
    ]
    slices = [{"sources": [*sources, {"model": models[0], "layer_range": [0, 4]}]}]
    head = {"merge_method": "ties", "base_model": models[0], "dtype": "float32", "parameters": {"normalize": 1.0}}
    results = []
    for form in ({"slices": slices}, {"modules": {"default": {"slices": slices}}}):
        (tmp_path / "merge.yml").write_text(yaml.safe_dump({**head, **form}))
        results.append(merged(read_with_remarks(tmp_path / "merge.yml").recipe))
    assert all(results[0][name].equal(tensor) for name, tensor in results[1].items())


def test_an_encoder_decoder_has_modules_named_like_its_stacks(tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        torch.manual_seed(seed)
        config = transformers.T5Config(
            vocab_size=99, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_decoder_layers=3, num_heads=2
        )
        transformers.T5ForConditionalGeneration(config).save_pretrained(tmp_path / name)
    parts = {"encoder": listed(a=1.0), "decoder": listed(b=1.0), "shared": listed(a=1.0)}
    text = yaml.safe_dump({"merge_method": "linear", "dtype": "float32", "modules": parts})
    (tmp_path / "merge.yml").write_text(text.replace("model: a", "model: ./a").replace("model: b", "model: ./b"))
    ours = merged(read_with_remarks(tmp_path / "merge.yml").recipe)
    files = {name: load_file(tmp_path / name / "model.safetensors") for name in "ab"}
    for name, tensor in ours.items():
        if name.startswith(("encoder.", "decoder.")):
            assert tensor.equal(files["a" if name.startswith("encoder.") else "b"][name]), name


@pytest.mark.parametrize(
    ("stack", "keys"),
    [("text", ["modules"]), ("vision", ["modules"]), (None, ["models"])],
)
@pytest.mark.parametrize("operator", ["task_arithmetic", "linear"])
def test_what_a_search_of_one_stack_finds_is_written_as_modules(
    stack: str | None, keys: list[str], operator: str, models: dict[str, Path], tmp_path: Path
) -> None:
    parents = {name: ParentSource(str(path)) for name, path in models.items()}
    kinds = ("attention", "mlp") if stack and operator == "task_arithmetic" else ("all",)
    groups = Groups(layer_blocks=2 if stack else 1, modules=kinds, stack=stack)
    space = WeightSpace(
        parents, "a", n_layers=3, operators=[operator], groups=groups, genes={}, dtype="float32",
        stacks={"text": 3, "vision": 2},
    )  # fmt: skip
    recipe = space.decode(np.linspace(0.1, 0.9, space.dim))
    text = to_mergekit(recipe)
    assert [key for key in ("models", "slices", "modules") if key in yaml.safe_load(text)] == keys
    (tmp_path / "merge.yml").write_text(text)
    again = merged(read_with_remarks(tmp_path / "merge.yml").recipe)
    assert all(torch.equal(again[name], tensor) for name, tensor in merged(recipe).items())


@pytest.mark.parametrize("cut", [False, True])
def test_modules_that_are_written_read_back_as_the_same_merge(cut: bool, read: Any, tmp_path: Path) -> None:
    text = sliced(("a", 0, 2), ("b", 1, 3)) if cut else both(3)
    recipe = read({"text_decoder": text, "vision_tower": both(2), "multi_modal_projector": listed(c=1.0)}).recipe
    written = yaml.safe_load(to_mergekit(recipe))
    assert list(written["modules"]) == ["text_decoder", "vision_tower", "multi_modal_projector"]
    (tmp_path / "again.yml").write_text(yaml.safe_dump(written))
    again, ours = merged(read_with_remarks(tmp_path / "again.yml").recipe), merged(recipe)
    assert all(again[name].equal(tensor) for name, tensor in ours.items())
    assert len(again) == len(ours)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({"text_decodr": listed(a=1.0)}, "modules: expected names among .*'text_decodr' .did you mean 'text_decoder'"),
        ({"audio_tower": listed(a=1.0)}, "modules: expected names among text, vision, .*found 'audio_tower'"),
        (
            {"vision_tower": sliced(("a", 0, 1))},
            r"modules.vision_tower.slices\[0\]: expected all layers of vision in their order, \[0, 2\], found others",
        ),
        ({"text_decoder": {**listed(a=1.0), **sliced(("a", 0, 1))}}, "modules.text_decoder: expected exactly one of"),
        ({"text_decoder": {"modles": []}}, "modules.text_decoder: .*did you mean 'models'"),
        ("text_decoder", "modules: expected keys and values, found 'text_decoder'"),
    ],
)
def test_what_cannot_be_honoured_names_its_module(modules: object, message: str, read: Any) -> None:
    with pytest.raises(SpaceError, match=message):
        read(modules)
