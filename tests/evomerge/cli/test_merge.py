from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.conftest import Family, make_family
from tests.evomerge.conftest import Outcome
from tests.search_spaces.merging.recipes import altered
from tests.search_spaces.parents.adapters import save_adapter
from tests.search_spaces.parents.test_vocabulary import SHUFFLED, with_tokens

Command = Callable[..., Outcome]

pytestmark = [pytest.mark.filterwarnings("ignore::UserWarning"), pytest.mark.filterwarnings("ignore::FutureWarning")]


def write(directory: Path, data: object) -> Path:
    file = directory / "merge.yml"
    file.write_text(yaml.safe_dump(data))
    return file


def task_arithmetic(family: Family, *models: object, **keys: Any) -> dict[str, Any]:
    entries = [{"model": str(model), "parameters": {"weight": 0.5}} for model in models]
    return {"merge_method": "task_arithmetic", "base_model": str(family.base), "models": entries, **keys}


def test_a_frankenmerge_has_the_depth_and_the_layers_that_its_slices_say(
    evomerge: Command, family: Family, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    ranges = [("alpha", 0, 2), ("beta", 1, 2), ("alpha", 1, 2)]
    slices = [{"sources": [{"model": str(family.experts[n]), "layer_range": [a, b]}]} for n, a, b in ranges]
    file = write(tmp_path, {"merge_method": "passthrough", "slices": slices, "dtype": "float32"})
    assert evomerge("merge", file, tmp_path / "out").code == 0
    parts = {name: load_file(family.experts[name] / "model.safetensors") for name in family.experts}
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    assert merged["model.layers.3.mlp.up_proj.weight"].equal(parts["alpha"]["model.layers.1.mlp.up_proj.weight"])
    assert merged["model.layers.2.mlp.up_proj.weight"].equal(parts["beta"]["model.layers.1.mlp.up_proj.weight"])
    assert not any(".layers.4." in name for name in merged)


def test_adapters_merge_like_models_and_into_an_adapter(evomerge: Command, family: Family, tmp_path: Path) -> None:
    one, two = (save_adapter(family.base, tmp_path / str(seed), seed=seed, r=seed + 1) for seed in (1, 2))
    file = write(tmp_path, task_arithmetic(family, f"{family.base}+{one}", two, dtype="float32"))
    assert evomerge("merge", file, tmp_path / "model").code == 0
    done = evomerge("merge", file, tmp_path / "adapter", "--as-adapter")
    expected = f"merged adapter: {tmp_path / 'adapter'} (rank 5, exact: the parents' ranks add up)"
    assert expected in " ".join(done.out.split())
    alone = {"merge_method": "passthrough", "models": [{"model": str(tmp_path / "adapter")}], "dtype": "float32"}
    assert evomerge("merge", write(tmp_path, alone), tmp_path / "again").code == 0
    model, again = (load_file(tmp_path / name / "model.safetensors") for name in ("model", "again"))
    assert all(torch.allclose(again[name], tensor, rtol=0, atol=1e-6) for name, tensor in model.items())


def test_what_an_adapter_loses_is_printed(evomerge: Command, family: Family, tmp_path: Path) -> None:
    one, two = (save_adapter(family.base, tmp_path / str(seed), seed=seed) for seed in (1, 2))
    file = write(tmp_path, task_arithmetic(family, one, two, dtype="float32"))
    done = evomerge("merge", file, tmp_path / "out", "--as-adapter", "--rank", 3)
    assert "rank 3, reconstruction error" in " ".join(done.out.split())
    assert evomerge("merge", file, tmp_path / "other", "--rank", 3).code == 2


def test_a_union_of_tokens_is_written_with_its_tokenizer(evomerge: Command, family: Family, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    other = with_tokens(family.experts["alpha"], tmp_path / "other", [*SHUFFLED, "ä"])
    file = write(tmp_path, task_arithmetic(family, other, tokenizer_source="union", chat_template="chatml"))
    assert evomerge("merge", file, tmp_path / "out").code == 0
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.convert_ids_to_tokens(49) == "ä"
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == (
        "<|im_start|>user\nhi<|im_end|>\n"
    )
    assert json.loads((tmp_path / "out" / "config.json").read_text())["vocab_size"] == 50
    assert evomerge("merge", tmp_path / "out" / "recipe.json", tmp_path / "again").code == 0


def refused(evomerge: Command, tmp_path: Path, data: object) -> str:
    """Return the one message of a merge that fails and leaves nothing behind."""
    done = evomerge("merge", write(tmp_path, data), tmp_path / "out")
    assert done.code == 1
    assert not list(tmp_path.glob("*out*"))
    return " ".join(done.err.split())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"merge_method": "task_arithmetik"}, "merge_method: expected one of"),
        ({"parameters": {"lamda": 1.0}}, "found 'lamda' (did you mean 'lambda'?)"),
        (
            {"parameters": {"lambda": [{"filter": "self_atn", "value": 0.5}, {"value": 1.0}]}},
            "filter: expected a part of some tensor's name, found 'self_atn'",
        ),
        ({"merge_method": "ties", "parameters": {"density": -0.5}}, "density: expected"),
        ({"merge_method": "linear", "parameters": {"weight": 0.0}}, "weights whose sum is not 0"),
        ({"dtype": "int4"}, "dtype: expected one of"),
    ],
)
def test_a_bad_recipe_is_one_clear_message(
    change: dict[str, Any], message: str, evomerge: Command, family: Family, tmp_path: Path
) -> None:
    data: dict[str, Any] = {**task_arithmetic(family, family.experts["alpha"], dtype="float32"), **change}
    if data["merge_method"] == "linear":
        del data["base_model"]
        for model in data["models"]:
            del model["parameters"]
    assert message in refused(evomerge, tmp_path, data)


def test_layers_outside_a_model_are_one_clear_message(evomerge: Command, family: Family, tmp_path: Path) -> None:
    source = {"model": str(family.experts["alpha"]), "layer_range": [1, 4]}
    data = {"merge_method": "passthrough", "slices": [{"sources": [source]}], "dtype": "float32"}
    message = "layers: expected a layer of 'alpha' below 2, found 2 for output layer 1"
    assert message in refused(evomerge, tmp_path, data)


@pytest.mark.parametrize("slices", [False, True])
def test_models_of_different_width_are_one_clear_message(
    slices: bool, evomerge: Command, family: Family, tmp_path: Path
) -> None:
    wide = make_family(tmp_path / "wide", (), hidden=64).base
    data = task_arithmetic(family, wide, dtype="float32")
    if slices:
        sources = [{"model": str(model), "layer_range": [0, 1]} for model in (family.base, wide)]
        data = {**data, "models": None, "slices": [{"sources": [sources[0]]}, {"sources": [sources[1]]}]}
        data |= {"merge_method": "passthrough"}
        del data["base_model"]
    assert "hidden_size: expected 32 as in 'base', found 64" in refused(evomerge, tmp_path, data)


def test_an_adapter_for_another_base_is_one_clear_message(evomerge: Command, family: Family, tmp_path: Path) -> None:
    wide = make_family(tmp_path / "wide", (), hidden=64).base
    adapter = save_adapter(wide, tmp_path / "adapter")
    message = refused(evomerge, tmp_path, task_arithmetic(family, f"{family.base}+{adapter}", dtype="float32"))
    assert f"expected an adapter for this base, found one for {wide}" in message


def test_a_tensor_with_nan_is_one_clear_message(evomerge: Command, family: Family, tmp_path: Path) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    sick = altered(family.experts["alpha"], tmp_path / "sick", lambda t: t[name].fill_(float("nan")))
    message = refused(evomerge, tmp_path, task_arithmetic(family, sick, dtype="float32"))
    assert f"{name}: expected finite values after task_arithmetic, found NaN or infinity" in message


def test_a_campaign_searches_over_adapters(
    evomerge: Command, campaign_file: Callable[..., Path], family: Family
) -> None:
    path = campaign_file(budget={"evaluations": 6})
    adapter = save_adapter(family.base, path.parent / "adapter")
    data = yaml.safe_load(path.read_text())
    data["parents"] = [{"model": str(family.base), "adapter": "./adapter"}, str(family.experts["beta"])]
    path.write_text(yaml.safe_dump(data))
    assert evomerge("run", path, "--run-dir", path.parent / "run").code == 0
    front = json.loads(evomerge("pareto", path.parent / "run", "--json").out)
    assert front["front"][0]["recipe"]["parents"]["adapter"] == {"model": str(family.base), "adapter": str(adapter)}
    assert evomerge("export", path.parent / "run", "--pick", 5, "--out", path.parent / "out").code == 0


def test_a_campaign_over_a_union_scores_with_the_unions_tokenizer(
    evomerge: Command, campaign_file: Callable[..., Path], family: Family
) -> None:
    path = campaign_file(budget={"evaluations": 6}, tokenizer="union")
    tokens = [*(t for t in SHUFFLED if t not in "0123456789"), *"9876543210", "ä"]
    other = with_tokens(family.experts["alpha"], path.parent / "other", tokens)
    data = yaml.safe_load(path.read_text())
    data["parents"] = ["./other", str(family.experts["beta"])]
    path.write_text(yaml.safe_dump(data))
    assert evomerge("run", path, "--run-dir", path.parent / "run").code == 0
    assert evomerge("export", path.parent / "run", "--pick", 1, "--out", path.parent / "out").code == 0
    # Candidate 1 is the other parent alone, so it scores as the other does with its own tokenizer.
    task = path.parent / "sums.jsonl"
    items = [
        json.loads(evomerge("eval", model, "--tasks", task, "--json").out)["tasks"][0]["items"]
        for model in (other, path.parent / "out")
    ]
    assert items[0] == items[1]
    shutil.rmtree(path.parent / "run")


def test_a_merge_has_a_card_and_mergekits_file_unless_they_are_left_out(
    evomerge: Command, family: Family, tmp_path: Path
) -> None:
    file = write(tmp_path, task_arithmetic(family, family.experts["alpha"], dtype="float32"))
    assert evomerge("merge", file, tmp_path / "out").code == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert yaml.safe_load(card.split("---\n")[1])["tags"] == ["merge", "mergekit", "evomerge"]
    assert str(family.base.parent) not in card
    assert evomerge("merge", tmp_path / "out" / "mergekit_config.yml", tmp_path / "again", "--no-card").code == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("out", "again")]
    assert weights[0] == weights[1]
    assert not [*(tmp_path / "again").glob("*.md"), *(tmp_path / "again").glob("*.yml")]
