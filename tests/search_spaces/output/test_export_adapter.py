from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file

from search_spaces.errors import SpaceError
from search_spaces.merging.materialise import merged_tensor
from search_spaces.output.export import export
from search_spaces.output.export_adapter import export_adapter
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Input, Parameter, Rule
from tests.conftest import Family
from tests.search_spaces.layers.test_architecture import save_family
from tests.search_spaces.merging.recipes import recipe
from tests.search_spaces.parents.adapters import materialised, save_adapter
from tests.search_spaces.parents.test_adapted_models import MODELS
from tests.search_spaces.parents.test_adapter_places import config_of

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("UserWarning", "FutureWarning", "RuntimeWarning")
]


def adapters(base: Path, root: Path, **settings: object) -> Parents:
    """A base, and two adapters on it of ranks 2 and 3."""
    sources = {"base": ParentSource(str(base))}
    for seed, rank in ((1, 2), (2, 3)):
        directory = save_adapter(base, root / f"adapter{seed}", seed=seed, r=rank, **settings)
        sources[f"l{seed}"] = ParentSource(str(base), adapter=str(directory))
    return Parents.open(sources)


@pytest.fixture(scope="module")
def pair(family: Family, tmp_path_factory: pytest.TempPathFactory) -> Parents:
    return adapters(family.base, tmp_path_factory.mktemp("pair"))


def both(operator: str, parents: Parents, weights: tuple[float, float], **own: Parameter) -> Recipe:
    inputs = tuple(Input(f"l{i + 1}", {"weight": weight}) for i, weight in enumerate(weights))
    return recipe(parents, Rule(operator, inputs, own))


def assert_peft_loads(merge: Recipe, parents: Parents, adapter: Path, scratch: Path, *, atol: float) -> None:
    loaded = Checkpoint.open(ParentSource(str(materialised(parents["base"].directory, adapter, scratch))))
    assert set(loaded.names) == set(parents["base"].names)
    for name in parents["base"].names:
        expected = merged_tensor(merge, parents, name)
        torch.testing.assert_close(loaded.tensor(name), expected, rtol=0, atol=atol)


WEIGHTED_SUMS = [
    ("task_arithmetic", (0.7, -0.4), {"lambda": 1.3}),
    ("task_arithmetic", (0.7, 0.4), {"normalize": True}),
    ("linear", (0.25, 0.75), {}),
]


@pytest.mark.parametrize(("operator", "weights", "own"), WEIGHTED_SUMS)
def test_ranks_that_add_up_give_an_exact_adapter_that_peft_loads(
    operator: str, weights: tuple[float, float], own: dict[str, Parameter], pair: Parents, tmp_path: Path
) -> None:
    merge = both(operator, pair, weights, **own)
    done = export_adapter(merge, pair, tmp_path / "out")
    assert (done.rank, done.error, done.worst) == (5, 0.0, ("", 0.0))
    assert_peft_loads(merge, pair, done.directory, tmp_path / "merged", atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [{"target_modules": ["embed_tokens", "q_proj"]}, {"modules_to_save": ["norm"]}],
)
def test_embeddings_and_saved_modules_make_the_round_trip(
    settings: dict[str, object], family: Family, tmp_path: Path
) -> None:
    parents = adapters(family.base, tmp_path, **settings)
    merge = both("task_arithmetic", parents, (0.5, 0.5))
    done = export_adapter(merge, parents, tmp_path / "out")
    assert_peft_loads(merge, parents, done.directory, tmp_path / "merged", atol=1e-6)


def test_an_adapted_head_of_a_tied_base_computes_in_peft_what_the_merge_does(family: Family, tmp_path: Path) -> None:
    # Not through merge_and_unload, which would add the head's update to the embedding that it shares.
    import peft
    from transformers import AutoModelForCausalLM

    parents = adapters(family.base, tmp_path, target_modules=["lm_head"])
    merge = both("task_arithmetic", parents, (0.5, 0.5))
    done = export_adapter(merge, parents, tmp_path / "out")
    model = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(family.base), done.directory).eval()
    merged = AutoModelForCausalLM.from_pretrained(export(merge, parents, tmp_path / "full")).eval()
    tokens = torch.arange(12).view(2, 6) + 3
    with torch.no_grad():
        torch.testing.assert_close(model(tokens).logits, merged(tokens).logits, rtol=0, atol=1e-5)


def test_weights_stored_the_other_way_round_make_the_round_trip(tmp_path: Path) -> None:
    base = save_family("GPT2", tmp_path)["base"]
    parents = adapters(base, tmp_path, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True)
    merge = both("task_arithmetic", parents, (0.5, 0.9))
    done = export_adapter(merge, parents, tmp_path / "out")
    assert json.loads((done.directory / "adapter_config.json").read_text())["fan_in_fan_out"] is True
    assert_peft_loads(merge, parents, done.directory, tmp_path / "merged", atol=1e-6)


def test_ranks_of_their_own_are_kept_per_module(family: Family, tmp_path: Path) -> None:
    parents = adapters(family.base, tmp_path, rank_pattern={"layers.0.self_attn.q_proj": 1})
    merge = both("task_arithmetic", parents, (0.5, 0.9))
    done = export_adapter(merge, parents, tmp_path / "out")
    tensors = load_file(done.directory / "adapter_model.safetensors")
    ranks = {name: t.shape[0] for name, t in tensors.items() if "lora_A" in name and "q_proj" in name}
    assert sorted(ranks.values()) == [2, 5]
    assert_peft_loads(merge, parents, done.directory, tmp_path / "merged", atol=1e-6)


def test_a_nonlinear_merge_is_approximated_and_its_error_is_what_is_missing(pair: Parents, tmp_path: Path) -> None:
    merge = both("ties", pair, (1.0, 1.0))
    done = export_adapter(merge, pair, tmp_path / "out")
    found = Checkpoint.open(ParentSource(str(pair["base"].directory), adapter=str(done.directory)))
    missed = change = 0.0
    for name in pair["base"].names:
        delta = merged_tensor(merge, pair, name) - pair["base"].tensor(name)
        missed += float((found.tensor(name) - pair["base"].tensor(name) - delta).norm() ** 2)
        change += float(delta.norm() ** 2)
    assert 0.0 < done.error < 0.9
    assert done.error == pytest.approx((missed / change) ** 0.5, rel=1e-4)
    assert done.worst[1] >= done.error


@pytest.mark.parametrize("own", [{"svc_alpha": 1.0}, {"centre": "mean", "cart_rank_share": 0.1, "lambda": 2.0}])
def test_calibrated_and_centred_merges_fit_the_ranks_that_add_up(
    pair: Parents, own: dict[str, Parameter], tmp_path: Path
) -> None:
    merge = both("task_arithmetic", pair, (1.0, 1.0), **own)
    done = export_adapter(merge, pair, tmp_path / "out")
    assert done.error < 1e-4
    assert_peft_loads(merge, pair, done.directory, tmp_path / "merged", atol=1e-5)


def test_more_rank_misses_less_and_full_rank_nothing(pair: Parents, tmp_path: Path) -> None:
    merge = both("ties", pair, (1.0, 1.0))
    errors = [export_adapter(merge, pair, tmp_path / str(r), rank=r).error for r in (2, 8, 32)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-6


def test_a_smaller_rank_than_the_sum_is_the_best_approximation(pair: Parents, tmp_path: Path) -> None:
    merge = both("task_arithmetic", pair, (0.7, 0.4))
    done = export_adapter(merge, pair, tmp_path / "out", rank=4)
    name = "model.layers.0.mlp.down_proj.weight"
    delta = merged_tensor(merge, pair, name) - pair["base"].tensor(name)
    found = Checkpoint.open(ParentSource(str(pair["base"].directory), adapter=str(done.directory)))
    missed = (found.tensor(name) - pair["base"].tensor(name) - delta).norm()
    torch.testing.assert_close(missed, torch.linalg.svdvals(delta)[4:].norm(), rtol=1e-3, atol=1e-6)


def test_the_base_is_named_so_that_the_adapter_is_a_parent_again(pair: Parents, tmp_path: Path) -> None:
    done = export_adapter(both("linear", pair, (0.5, 0.5)), pair, tmp_path / "out")
    assert Checkpoint.open(ParentSource(str(done.directory))).directory == pair["base"].directory


def test_without_an_adapter_or_with_two_bases_there_is_none_to_write(
    pair: Parents, family: Family, untied: Family, tmp_path: Path
) -> None:
    plain = Parents.open({"base": ParentSource(str(family.base)), "a": ParentSource(str(family.experts["alpha"]))})
    merge = recipe(plain, Rule("linear", (Input("a", {"weight": 1.0}),)))
    with pytest.raises(SpaceError, match=r"expected parents that are adapters on one base, found no adapter"):
        export_adapter(merge, plain, tmp_path / "out")
    other = save_adapter(untied.base, tmp_path / "other")
    sources = {name: checkpoint.source for name, checkpoint in pair.checkpoints.items()}
    mixed = Parents.open({**sources, "l3": ParentSource(str(untied.base), adapter=str(other))})
    with pytest.raises(SpaceError, match=r"adapters on one base, found .*base, .*base"):
        export_adapter(both("linear", mixed, (0.5, 0.5)), mixed, tmp_path / "out")


def test_a_full_model_among_the_parents_needs_a_rank(pair: Parents, family: Family, tmp_path: Path) -> None:
    sources = {name: checkpoint.source for name, checkpoint in pair.checkpoints.items()}
    parents = Parents.open({**sources, "full": ParentSource(str(family.experts["alpha"]))})
    inputs = (Input("l1", {"weight": 0.5}), Input("full", {"weight": 0.5}))
    merge = recipe(parents, Rule("task_arithmetic", inputs))
    with pytest.raises(SpaceError, match="no adapter tells with which rank; name one with --rank"):
        export_adapter(merge, parents, tmp_path / "out")
    done = export_adapter(merge, parents, tmp_path / "out", rank=32)
    assert done.error < 1e-6
    assert_peft_loads(merge, parents, done.directory, tmp_path / "merged", atol=1e-5)


def test_a_merge_that_changes_nothing_is_refused(pair: Parents, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="expected a merge that differs from the base, found none"):
        export_adapter(both("task_arithmetic", pair, (0.0, 0.0)), pair, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_merge_that_scales_the_base_itself_needs_a_rank(pair: Parents, tmp_path: Path) -> None:
    merge = both("linear", pair, (0.5, 0.6), normalize=False)
    with pytest.raises(SpaceError, match=r"embed_tokens.weight: changes, but no adapter tells with which rank"):
        export_adapter(merge, pair, tmp_path / "out")
    done = export_adapter(merge, pair, tmp_path / "out", rank=32)
    assert_peft_loads(merge, pair, done.directory, tmp_path / "merged", atol=1e-5)


def test_another_operator_over_weights_that_no_adapter_touches_leaves_them_alone(pair: Parents, tmp_path: Path) -> None:
    merge = recipe(pair, Rule("slerp", (Input("l1"), Input("l2")), {"t": 0.5}))
    done = export_adapter(merge, pair, tmp_path / "out")
    assert not [name for name in load_file(done.directory / "adapter_model.safetensors") if "k_proj" in name]


@pytest.mark.parametrize("rank", [None, 2])
@pytest.mark.parametrize("apart", [True, False], ids=["experts apart", "packed"])
def test_adapters_of_fused_experts_make_the_round_trip(apart: bool, rank: int | None, tmp_path: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_config(MODELS["Mixtral"]())
    model.save_pretrained(tmp_path / "base", save_original_format=apart)
    both_of = {"target_parameters": ["experts.gate_up_proj", "experts.down_proj", "gate.weight"]}
    parents = adapters(tmp_path / "base", tmp_path, target_modules=["q_proj"], **both_of)
    merge = both("task_arithmetic", parents, (0.7, -0.4))
    done = export_adapter(merge, parents, tmp_path / "out", rank=rank)
    assert done.rank == (rank or 5)
    peft_s = PeftModel.from_pretrained(
        type(model).from_pretrained(tmp_path / "base"), done.directory
    ).merge_and_unload()
    whole = type(model).from_pretrained(export(merge, parents, tmp_path / "whole"), dtype=torch.float32)
    bare = type(model).from_pretrained(tmp_path / "base")
    off, without = (
        max(float((wanted - other.state_dict()[name]).norm()) for name, wanted in whole.state_dict().items())
        for other in (peft_s, bare)
    )
    assert (off < 1e-4) == (rank is None)
    assert off < without


def test_an_operator_that_is_no_weighted_sum_is_refused_for_fused_experts(tmp_path: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_config(MODELS["Mixtral"]())
    model.save_pretrained(tmp_path / "base")
    parents = adapters(tmp_path / "base", tmp_path, target_modules=[], target_parameters=["experts.down_proj"])
    with pytest.raises(SpaceError, match=r"experts.down_proj: expected a weighted sum .* merge it as a whole model"):
        export_adapter(both("ties", parents, (0.5, 0.5)), parents, tmp_path / "out")


def test_token_rows_make_the_round_trip(family: Family, tmp_path: Path) -> None:
    sources = {"base": ParentSource(str(family.base))}
    for seed, tokens in ((1, [5, 3]), (2, [3, 8])):
        directory = save_adapter(family.base, tmp_path / f"a{seed}", seed=seed, r=2, trainable_token_indices=tokens)
        sources[f"l{seed}"] = ParentSource(str(family.base), adapter=str(directory))
    parents = Parents.open(sources)
    merge = both("task_arithmetic", parents, (0.5, 0.7))
    done = export_adapter(merge, parents, tmp_path / "out")
    config = json.loads((done.directory / "adapter_config.json").read_text())
    assert config["trainable_token_indices"] == {"model.embed_tokens": [3, 5, 8]}
    assert_peft_loads(merge, parents, done.directory, tmp_path / "merged", atol=1e-6)


def test_a_new_embedding_beside_token_rows_makes_the_round_trip(family: Family, tmp_path: Path) -> None:
    """The head is the base's for one parent and the embedding's for the other: peft has both of them whole."""
    sources = {"base": ParentSource(str(family.base))}
    for name, own in (("l1", {"modules_to_save": ["embed_tokens"]}), ("l2", {"trainable_token_indices": [3, 8]})):
        directory = save_adapter(family.base, tmp_path / name, **own)
        sources[name] = ParentSource(str(family.base), adapter=str(directory))
    parents = Parents.open(sources)
    merge = both("task_arithmetic", parents, (0.5, 0.7))
    done = export_adapter(merge, parents, tmp_path / "out", rank=8)
    kind = transformers.AutoModelForCausalLM
    found = PeftModel.from_pretrained(kind.from_pretrained(family.base), done.directory).eval()
    expected = kind.from_pretrained(export(merge, parents, tmp_path / "whole"), dtype=torch.float32).eval()
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        torch.testing.assert_close(found(tokens).logits, expected(tokens).logits, rtol=0, atol=1e-5)


def test_modules_are_named_as_the_live_model_names_them(tmp_path: Path) -> None:
    """The base's file has the prefixes of 2024, and peft reads today's."""
    config = config_of("Gemma3")
    transformers.Gemma3ForConditionalGeneration(config).save_pretrained(tmp_path / "base")
    assert any(name.startswith("language_model.model.") for name in load_file(tmp_path / "base" / "model.safetensors"))
    parents = adapters(
        tmp_path / "base", tmp_path, target_modules=r".*language_model.*q_proj", modules_to_save=["norm"]
    )
    merge = both("task_arithmetic", parents, (0.5, 0.5))
    done = export_adapter(merge, parents, tmp_path / "out")
    assert_peft_loads(merge, parents, done.directory, tmp_path / "merged", atol=1e-6)
