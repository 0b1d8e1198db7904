"""Checkpoints that contradict themselves end in one message, and nothing is scored or written of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from tests.conftest import Family
from tests.evomerge.conftest import Outcome
from tests.fitness.conftest import write_jsonl

Command = Callable[..., Outcome]
DEEP = '{"a":' * 100_000


@pytest.fixture
def copy(family: Family, tmp_path: Path) -> Path:
    """A copy of an expert, to be damaged."""
    return Path(shutil.copytree(family.experts["alpha"], tmp_path / "copy"))


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "a.jsonl", [{"question": "1+1=", "choices": ["2", "3"], "gold": 0}])


def set_keys(file: Path, **settings: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


def change_tensors(directory: Path, change: Callable[[str, torch.Tensor], torch.Tensor | None]) -> None:
    file = directory / "model.safetensors"
    changed = {name: change(name, tensor) for name, tensor in load_file(file).items()}
    save_file({name: tensor for name, tensor in changed.items() if tensor is not None}, file, metadata={"format": "pt"})


def assert_refused(done: Outcome, *words: str) -> None:
    assert done.code in (1, 2), done.out
    assert "Traceback" not in done.err
    assert 0 < len(done.err.strip().splitlines()) <= 5
    for word in words:
        assert word in done.err


def merge(evomerge: Command, tmp_path: Path, *models: Path) -> Outcome:
    document = {"merge_method": "linear", "dtype": "float32"}
    parts = [{"model": str(model), "parameters": {"weight": 0.5}} for model in models]
    (tmp_path / "recipe.yml").write_text(yaml.safe_dump({**document, "models": parts}))
    return evomerge("merge", tmp_path / "recipe.yml", tmp_path / "out")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_hidden_layers": 1}, "asks for 1 of model.layers, the files have 2"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers: expected at most 1,000 layers, found 1,000,000"),
        ({"vocab_size": 10**12}, "for model.embed_tokens.weight"),
        ({"pad_token_id": 10**6}, "adding_idx"),
        ({"num_attention_heads": 0}, "config.json: expected the settings of a model of type 'llama'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_neither_eval_nor_merge_takes_a_config_that_cannot_be_right(
    evomerge: Command, family: Family, copy: Path, task: Path, settings: dict[str, Any], words: str
) -> None:
    set_keys(copy / "config.json", **settings)
    assert_refused(evomerge("eval", copy, "--tasks", task), words)
    for models in ((copy, family.base), (family.base, copy)):
        assert_refused(merge(evomerge, copy.parent, *models), words)
        assert not (copy.parent / "out").exists()


@pytest.mark.parametrize("first", [True, False])
def test_a_merge_of_a_model_without_a_layer_is_refused_with_its_name(
    evomerge: Command, family: Family, copy: Path, *, first: bool
) -> None:
    change_tensors(copy, lambda name, tensor: None if ".layers.1." in name else tensor)
    models = (copy, family.base) if first else (family.base, copy)
    done = merge(evomerge, copy.parent, *models)
    assert_refused(done, "LlamaForCausalLM needs model.layers.1.input_layernorm.weight and", "which no file has")
    assert sorted(path.name for path in copy.parent.iterdir()) == ["copy", "recipe.yml"]


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.int32])
def test_weights_in_whole_numbers_are_no_buffers(
    evomerge: Command, family: Family, copy: Path, dtype: torch.dtype
) -> None:
    change_tensors(copy, lambda _, tensor: (tensor * 100).to(dtype))
    assert_refused(merge(evomerge, copy.parent, copy, family.base), "floating point, found whole numbers in")
    assert not (copy.parent / "out").exists()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("config.json", DEEP),
        ("config.json", json.dumps({"model_type": "llama", "a": json.loads("[" * 400 + "]" * 400)})),
        ("generation_config.json", DEEP),
        ("generation_config.json", "[]"),
        ("tokenizer.json", "[]"),
        ("tokenizer.json", DEEP),
        ("tokenizer.json", '{"model": 5}'),
        ("tokenizer_config.json", "[]"),
        ("tokenizer_config.json", '{"bos_token": 5, "tokenizer_class": "PreTrainedTokenizerFast"}'),
        ("tokenizer_config.json", '{"model_max_length": "x", "tokenizer_class": "PreTrainedTokenizerFast"}'),
    ],
    ids=lambda value: value[:40],
)
def test_eval_of_files_that_are_not_what_they_should_be_is_one_message(
    evomerge: Command, copy: Path, task: Path, file: str, text: str
) -> None:
    (copy / file).write_text(text)
    assert_refused(evomerge("eval", copy, "--tasks", task))


def test_a_merge_without_a_tokenizer_says_so(evomerge: Command, family: Family, copy: Path) -> None:
    for path in (*copy.glob("tokenizer*"), *copy.glob("special_tokens*")):
        path.unlink()
    done = merge(evomerge, copy.parent, copy, family.base)
    assert done.code == 0
    assert "tokenizer: the base brings none, so the merge has none" in done.err


def test_eval_tells_before_it_scores_that_out_cannot_be_written(
    evomerge: Command, family: Family, task: Path, tmp_path: Path
) -> None:
    assert_refused(
        evomerge("eval", family.base, "--tasks", task, "--out", tmp_path / "no" / "x.json"), "cannot be writ"
    )
    out = tmp_path / "scores.json"
    done = evomerge("eval", family.base, "--tasks", task, "--out", out)
    assert (done.code, "acc" in done.out) == (0, True)
    assert json.loads(out.read_text())["tasks"][0]["task"] == "a"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "vocabulary", [{"1": 10**9, "2": 5}, {"1": -1}, {"1": "x"}, {"1": [1]}, [1, 2], 5], ids=lambda v: str(v)[:20]
)
def test_vocabularies_with_ids_that_no_table_has_are_refused(
    evomerge: Command, family: Family, copy: Path, task: Path, vocabulary: Any
) -> None:
    data = json.loads((copy / "tokenizer.json").read_text())
    known = data["model"]["vocab"]
    data["model"]["vocab"] = {**known, **vocabulary} if isinstance(vocabulary, dict) else vocabulary
    (copy / "tokenizer.json").write_text(json.dumps(data))
    assert_refused(evomerge("eval", copy, "--tasks", task))
    assert_refused(merge(evomerge, copy.parent, family.base, copy), "copy")
