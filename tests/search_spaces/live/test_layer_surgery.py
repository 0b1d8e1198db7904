"""Live models of recipes with layers of their own, against their exports loaded by plain transformers."""

from __future__ import annotations

import gc
import itertools
import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from search_spaces.errors import SpaceError
from search_spaces.layers.architecture import build_module
from search_spaces.layers.layer_behaviour import layers_of
from search_spaces.live.layer_surgery import FlowResident
from search_spaces.live.resident import ResidentModel
from search_spaces.output.export import export
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import Recipe
from search_spaces.recipes.rule import Input, Rule, Where
from tests.search_spaces.live.flows import ARCHITECTURES, PATH, SCALES, family_of, flow
from tests.search_spaces.merging.recipes import copy_of, merge, opened, recipe

TOKENS = torch.arange(24).view(2, 12) + 3
EMBEDDING = "model.embed_tokens.weight"


@pytest.fixture(scope="module")
def llamas(tmp_path_factory: pytest.TempPathFactory) -> Parents:
    return family_of("Llama", tmp_path_factory.mktemp("llamas"))


def resident(parents: Parents, **options: object) -> FlowResident:
    return FlowResident(build_module(parents["base"]), parents, **options)  # type: ignore[arg-type]


def logits(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(TOKENS).logits
    return found


def exported(r: Recipe, parents: Parents, out: Path) -> nn.Module:
    model: nn.Module = transformers.AutoModelForCausalLM.from_pretrained(
        export(r, parents, out), dtype=torch.float32
    ).eval()
    return model


def difference(model: nn.Module, other: nn.Module) -> float:
    """The largest difference of logits, relative to the largest logit."""
    ours, theirs = logits(model), logits(other)
    return float((ours - theirs).abs().max() / theirs.abs().max())


def generated(model: nn.Module) -> torch.Tensor:
    mask = torch.ones_like(TOKENS)
    found: torch.Tensor = model.generate(  # type: ignore[operator]
        TOKENS, attention_mask=mask, max_new_tokens=8, do_sample=False, pad_token_id=0, eos_token_id=None
    )
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_path_computes_and_generates_what_its_export_does(architecture: str, tmp_path: Path) -> None:
    parents = family_of(architecture, tmp_path)
    live = resident(parents)
    live.become(flow(parents))
    plain = exported(flow(parents), parents, tmp_path / "out")
    assert logits(live.model).equal(logits(plain))
    assert generated(live.model).equal(generated(plain))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_input_scales_are_folded_into_the_export(architecture: str, tmp_path: Path) -> None:
    parents = family_of(architecture, tmp_path)
    scaled, unscaled = resident(parents).assembled([flow(parents, PATH, SCALES), flow(parents)])
    plain = exported(flow(parents, PATH, SCALES), parents, tmp_path / "out")
    assert difference(plain, scaled) < 1e-4
    assert difference(unscaled, scaled) > 1e-2
    assert generated(scaled).equal(generated(plain))


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(products=st.lists(st.floats(0.25, 4.0), min_size=5, max_size=5))
def test_folding_is_exact_while_the_product_of_the_scales_is_moderate(
    llamas: Parents, tmp_path_factory: pytest.TempPathFactory, products: list[float]
) -> None:
    scales = [b / a for a, b in itertools.pairwise([1.0, *products])]
    r = flow(llamas, PATH, scales)
    plain = exported(r, llamas, tmp_path_factory.mktemp("folded") / "out")
    assert difference(plain, resident(llamas).assembled([r])[0]) < 1e-4


def test_folding_by_powers_of_two_is_exact_however_small_the_product(llamas: Parents, tmp_path: Path) -> None:
    r = flow(llamas, PATH, (0.125, 0.25, 2.0, 0.125, 0.5))
    assert logits(exported(r, llamas, tmp_path / "out")).equal(logits(resident(llamas).assembled([r])[0]))


@pytest.mark.parametrize("architecture", ["Llama", "Gemma2", "GPTNeoX", "Mamba"])
def test_the_eps_of_norms_counts_as_it_does_in_the_export(architecture: str, tmp_path: Path) -> None:
    key = {"GPTNeoX": "layer_norm_eps", "Mamba": "layer_norm_epsilon"}.get(architecture, "rms_norm_eps")
    parents = family_of(architecture, tmp_path, **{key: 0.1})
    r = flow(parents, PATH, (0.3, 0.9, 1.2, 1.0, 0.8))
    assert difference(exported(r, parents, tmp_path / "out"), resident(parents).assembled([r])[0]) < 1e-5


def test_scales_that_cannot_be_folded_are_refused_live_too(tmp_path: Path) -> None:
    parents = family_of("Olmo2", tmp_path)
    with pytest.raises(SpaceError, match="input scales: cannot be folded into the weights of olmo2 models"):
        resident(parents).become(flow(parents, PATH, SCALES))
    resident(parents).become(flow(parents))


def test_every_layer_has_the_index_of_its_place(llamas: Parents) -> None:
    [model] = resident(llamas).assembled([flow(llamas)])
    indices = [layer.self_attn.layer_idx for layer in layers_of(model)]  # type: ignore[union-attr]
    assert indices == list(range(len(PATH)))
    assert model.config.num_hidden_layers == len(PATH)  # type: ignore[union-attr]


def test_models_that_live_at_once_share_their_weights(llamas: Parents) -> None:
    paths = [PATH, PATH[:3], (*PATH, *PATH), (("alpha", 2), ("base", 0))]
    models = resident(llamas).assembled([flow(llamas, path) for path in paths])
    storages: dict[tuple[str, int], set[int]] = {}
    for model, path in zip(models, paths, strict=True):
        for step, layer in zip(path, layers_of(model), strict=True):
            storages.setdefault(step, set()).add(layer.mlp.up_proj.weight.data_ptr())  # type: ignore[union-attr]
    assert all(len(storage) == 1 for storage in storages.values())
    assert len({model.get_parameter(EMBEDDING).data_ptr() for model in models}) == 1
    assert [logits(model).shape[-1] for model in models] == [49] * 4


def test_a_model_stays_what_it_is_when_the_resident_goes_on(llamas: Parents) -> None:
    live = resident(llamas, merged_bytes=0)
    recipes = [flow(llamas, PATH, SCALES), merged(llamas, 0.3), merged(llamas, 0.9), flow(llamas, PATH[:2])]
    models = live.assembled(recipes)
    before = [logits(model) for model in models]
    for r in reversed(recipes):
        live.become(r)
    assert all(logits(model).equal(found) for model, found in zip(models, before, strict=True))
    assert all(logits(live.assembled([r])[0]).equal(found) for r, found in zip(recipes, before, strict=True))


def merged(parents: Parents, weight: float, scales: tuple[float, ...] = (1.0, 1.0, 1.0), **fields: object) -> Recipe:
    """Two layers merged of base and alpha around one of beta; everything else is merged too."""
    both = tuple(Input(name, {"weight": w}) for name, w in (("base", weight), ("alpha", 1 - weight)))
    layers = ({"base": 0, "alpha": 0}, {"beta": 3}, {"base": 0, "alpha": 0})
    rules = (copy_of("beta", Where(layers=(1, 2))), Rule("linear", both))
    return recipe(parents, *rules, layers=layers, input_scales=scales, **fields)


def test_merged_layers_mix_with_layers_of_one_parent(llamas: Parents, tmp_path: Path) -> None:
    r = merged(llamas, 0.3, (0.8, 1.5, 0.7))
    [live] = resident(llamas).assembled([r])
    assert difference(exported(r, llamas, tmp_path / "out"), live) < 1e-5


def test_what_lies_outside_the_layers_is_shared_where_it_is_equal_and_its_own_where_not(llamas: Parents) -> None:
    models = resident(llamas).assembled([merged(llamas, 0.3), merged(llamas, 0.9), merged(llamas, 0.3)])
    storages = [model.get_parameter(EMBEDDING).data_ptr() for model in models]
    assert storages[0] == storages[2] != storages[1]


def keys(parents: Parents, r: Recipe) -> list[object]:
    return [layer.layer_key for layer in layers_of(resident(parents).assembled([r])[0])]


def test_layers_have_equal_keys_exactly_if_they_are_the_same_function(llamas: Parents) -> None:
    found = keys(llamas, flow(llamas, (("alpha", 2), ("beta", 1), ("alpha", 2), ("alpha", 2)), (1.0, 1.0, 1.0, 0.5)))
    assert found[0] == found[2]
    assert len(set(found)) == 3
    assert keys(llamas, flow(llamas, (("beta", 1), ("alpha", 2)))) == [found[1], found[0]]
    light, heavy = keys(llamas, merged(llamas, 0.3)), keys(llamas, merged(llamas, 0.9))
    assert light[0] == light[2] != heavy[0] == heavy[2]
    assert light[1] == heavy[1]
    assert not set(keys(llamas, flow(llamas, dtype="bfloat16"))) & set(keys(llamas, flow(llamas)))


def test_random_masks_do_not_depend_on_the_place_of_a_layer(llamas: Parents) -> None:
    inputs = (Input("alpha", {"weight": 1.0, "density": 0.5}),)
    layers = tuple({"base": k, "alpha": k} for k in (1, 2, 1))
    first, _, third = keys(llamas, recipe(llamas, Rule("dare_linear", inputs), layers=layers))
    assert first == third
    assert keys(llamas, recipe(llamas, Rule("dare_linear", inputs), layers=layers, seed=1))[0] != first


def test_what_reads_the_depth_of_a_layer_differs_from_place_to_place(llamas: Parents) -> None:
    inputs = (Input("alpha", {"weight": 1.0}),)
    lines = Rule("task_arithmetic", inputs, {"lines_alpha": 0.5, "lines_beta": 0.5})
    layers = tuple({"base": 1, "alpha": 1} for _ in range(3))
    assert len(set(keys(llamas, recipe(llamas, lines, layers=layers)))) == 3


def test_layers_that_act_otherwise_have_other_keys(tmp_path: Path) -> None:
    parents = family_of("Gemma2", tmp_path)
    sliding, full = layers_of(resident(parents).assembled([flow(parents, (("base", 0), ("base", 1)))])[0])
    assert sliding.layer_key[0] != full.layer_key[0]  # type: ignore[index]
    assert (sliding.self_attn.sliding_window, full.self_attn.sliding_window) == (4, None)  # type: ignore[union-attr]


def test_a_recipe_without_layers_is_the_resident_models(llamas: Parents, tmp_path: Path) -> None:
    same = opened({name: llamas[name].directory for name in ("base", "alpha")})
    r = merge(same, "ties", base=0.5, alpha=0.5)
    flowing, plain = FlowResident(build_module(same["base"]), same), ResidentModel(build_module(same["base"]), same)
    flowing.become(r)
    plain.become(r)
    assert logits(flowing.model).equal(logits(plain.model))


def test_the_resident_model_folds_scales_that_it_cannot_apply(llamas: Parents) -> None:
    r = flow(llamas, PATH[:3], SCALES[:3])
    plain = ResidentModel(build_module(llamas["base"]), llamas)
    plain.become(r)
    assert difference(plain.model, resident(llamas).assembled([r])[0]) < 1e-5


def test_memory_is_the_layers_in_use(llamas: Parents) -> None:
    live = resident(llamas, merged_bytes=0)
    live.become(flow(llamas))
    gc.collect()
    before = _live_bytes()
    models = live.assembled([flow(llamas, path, None) for path in itertools.permutations(PATH[:4])])
    assert len(models) == 24
    assert _live_bytes() - before < sum(p.nbytes for p in live.model.parameters()) / 10


def test_merged_weights_go_when_nothing_uses_them(llamas: Parents) -> None:
    live = resident(llamas, merged_bytes=0)
    live.become(merged(llamas, 0.5))
    gc.collect()
    before = _live_bytes()
    for weight in (0.1, 0.2, 0.3, 0.4, 0.5):
        live.become(merged(llamas, weight))
    gc.collect()
    assert _live_bytes() == before


def _live_bytes() -> int:
    storages = {o.untyped_storage().data_ptr(): o.nbytes for o in gc.get_objects() if type(o) is nn.Parameter}
    return sum(storages.values())


def test_parents_own_weights_are_read_again_where_there_is_no_room_for_all(llamas: Parents) -> None:
    path, other = flow(llamas, PATH, None), flow(llamas, PATH[:2], None)
    size = sum(p.nbytes for p in layers_of(resident(llamas).model)[0].parameters())
    small, large = resident(llamas, pure_bytes=size), resident(llamas)
    for r in (path, other, path):
        small.become(r)
        large.become(r)
        assert logits(small.model).equal(logits(large.model))
        assert small._bank._pure._size <= size < large._bank._pure._size


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    parents = family_of("Qwen2", tmp_path, tie_word_embeddings=True)
    [model] = resident(parents).assembled([flow(parents)])
    assert model.lm_head.weight is model.model.embed_tokens.weight  # type: ignore[union-attr]


def test_an_order_that_the_architectures_config_cannot_tell_is_refused(tmp_path: Path) -> None:
    parents = family_of("DiffLlama", tmp_path)
    with pytest.raises(SpaceError, match=r"output layer 1 would not act as .* \(self_attn: .*lambda_init"):
        resident(parents).become(flow(parents))
    with pytest.raises(SpaceError, match=r"output layer 1 would not act as"):
        export(flow(parents), parents, tmp_path / "out")
    kept = flow(parents, [("base", 0), ("alpha", 1), ("beta", 2), ("beta", 3)])
    resident(parents).become(kept)


def test_parents_may_differ_in_what_does_not_depend_on_the_order(llamas: Parents, tmp_path: Path) -> None:
    dropping = Path(shutil.copytree(llamas["alpha"].directory, tmp_path / "alpha"))
    config = json.loads((dropping / "config.json").read_text())
    (dropping / "config.json").write_text(json.dumps({**config, "attention_dropout": 0.1}))
    parents = opened({"base": llamas["base"].directory, "alpha": dropping, "beta": llamas["beta"].directory})
    expected = resident(llamas).assembled([flow(llamas)])[0]
    assert logits(resident(parents).assembled([flow(parents)])[0]).equal(logits(expected))


def test_parents_of_another_width_are_refused(llamas: Parents, tmp_path: Path) -> None:
    wide = family_of("Llama", tmp_path, hidden_size=64)
    parents = opened({"base": llamas["base"].directory, "alpha": wide["alpha"].directory})
    with pytest.raises(SpaceError, match=r"expected \(32, 32\) as the live model has it, found \(64, 64\)"):
        resident(parents).become(flow(parents, [("alpha", 1)]))


def test_a_failed_recipe_leaves_the_model_as_it_was(llamas: Parents) -> None:
    live = resident(llamas)
    live.become(flow(llamas))
    before = logits(live.model)
    with pytest.raises(SpaceError, match="a layer of 'base' below 3, found 7"):
        live.become(flow(llamas, [("base", 7)]))
    assert logits(live.model).equal(before)
