"""What a checkpoint brings of code and kernels is neither run nor fetched, and nobody is asked whether it may be."""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from evomerge.assembly.preprocessing import output_processor, output_tokenizer
from fitness.engine.lm_eval.lm_eval_model_args import ModelArguments, load_model
from fitness.engine.model.tokenizer import load_tokenizer
from fitness.errors import FitnessError
from search_spaces.architecture.reading import meta_module
from search_spaces.errors import SpaceError
from search_spaces.output.export import export
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import OutputTokenizer, ParentSource
from tests.conftest import Family
from tests.search_spaces.merging.recipes import merge, opened

KINDS = ("Config", "Tokenizer", "Processor", "ImageProcessor", "VideoProcessor", "FeatureExtractor", "ModelForCausalLM")
TASK = [{"id": str(i), "question": f"q{i}:", "choices": [" a", " b"], "gold": i % 2} for i in range(4)]


def change(file: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads(file.read_text()) if file.is_file() else {}
    edit(data)
    file.write_text(json.dumps(data))


def with_code(checkpoint: Path, directory: Path, files: tuple[str, ...]) -> Path:
    """A copy whose JSON files name classes in own.py, which leaves a mark when it is run."""
    shutil.copytree(checkpoint, directory)
    (directory / "own.py").write_text(f"open({str(directory / 'RAN')!r}, 'w').close()\nclass Own: pass\n")
    named = {f"Auto{kind}": "own.Own" for kind in KINDS} | {"AutoTokenizer": ["own.Own", "own.Own"]}
    for name in files:
        change(directory / name, lambda data: data.update(auto_map=named))
    return directory


@pytest.fixture
def never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(prompt: str = "") -> str:
        raise AssertionError(f"asked: {prompt}")

    monkeypatch.setattr(builtins, "input", asked)


def test_a_known_model_with_code_of_its_own_is_read_without_it(
    family: Family, tmp_path: Path, never_asked: None
) -> None:
    directory = with_code(family.base, tmp_path / "m", ("config.json", "tokenizer_config.json"))
    plain = load_tokenizer(family.base)
    assert load_tokenizer(directory).encode("ab c") == plain.encode("ab c")
    model, tokenizer = load_model(ModelArguments(str(directory), device="cpu"))
    assert tokenizer.encode("ab c") == plain.encode("ab c")
    assert type(model) is transformers.LlamaForCausalLM
    assert not (directory / "RAN").exists()


def test_a_model_that_needs_its_own_code_is_refused_with_this_reason(
    family: Family, tmp_path: Path, never_asked: None
) -> None:
    directory = with_code(family.base, tmp_path / "m", ("config.json", "tokenizer_config.json"))
    change(directory / "config.json", lambda data: data.update(model_type="own"))
    for load in (load_tokenizer, lambda path: load_model(ModelArguments(str(path), device="cpu"))):
        with pytest.raises(FitnessError, match=r"needs code of its own .* which evomerge never runs"):
            load(directory)
    assert not (directory / "RAN").exists()


@pytest.mark.parametrize("file", ["processor_config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("kind", ["llama", "llava"])
def test_a_processor_with_code_of_its_own_is_read_without_it_or_refused(
    family: Family, tmp_path: Path, never_asked: None, file: str, kind: str
) -> None:
    """Of a llava transformers makes the processor by the config, and then forgets what it was told of code."""
    directory = with_code(family.base, tmp_path / "m", (file,))
    parents = Parents.open({"base": ParentSource(str(directory))}, base="base", tokenizer=OutputTokenizer())
    if kind == "llava":
        change(directory / file, lambda data: data.update(image_processor_type="Own"))
        change(directory / "config.json", lambda data: data.update(model_type="llava"))
    with contextlib.suppress(FitnessError):  # these tiny ones have no images to process
        assert type(output_processor(parents, "base", OutputTokenizer())).__module__.startswith("transformers")
    assert not (directory / "RAN").exists()


def test_a_union_tokenizer_is_read_without_its_parents_code(family: Family, tmp_path: Path, never_asked: None) -> None:
    directory = with_code(family.base, tmp_path / "m", ("tokenizer_config.json", "config.json"))
    union = OutputTokenizer("union")
    sources = {"base": ParentSource(str(directory)), "a": ParentSource(str(family.experts["alpha"]))}
    parents = Parents.open(sources, base="base", tokenizer=union)
    assert output_tokenizer(parents, "base", union).encode("ab") == load_tokenizer(family.base).encode("ab")
    assert not (directory / "RAN").exists()


def test_an_export_names_no_code_that_it_does_not_have_however_json_writes_it(family: Family, tmp_path: Path) -> None:
    directory = with_code(family.base, tmp_path / "m", ("config.json", "tokenizer_config.json"))
    file = directory / "tokenizer_config.json"
    file.write_text(file.read_text().replace("auto_map", r"auto\u005fmap"))
    parents = opened({**family.parents, "base": directory})
    out = export(merge(parents, alpha=0.5, beta=0.5), parents, tmp_path / "out")
    assert not [path.name for path in out.glob("*.json") if "auto_map" in str(json.loads(path.read_text()))]
    assert not list(out.glob("*.py"))
    assert transformers.AutoTokenizer.from_pretrained(out, trust_remote_code=False)("ab").input_ids


KERNEL = "someone/kernel"
NAMING = [
    {"_attn_implementation": KERNEL},
    {"attn_implementation": KERNEL},
    {"_attn_implementation_internal": KERNEL},
    {"_attn_implementation": {"": KERNEL, "text_config": KERNEL}},
    {"_attn_implementation": "flash_attention_2"},
    {"_experts_implementation": "deepgemm"},
    {"experts_implementation": KERNEL},
]


@pytest.mark.parametrize("named", NAMING, ids=str)
def test_kernels_that_a_config_names_never_reach_transformers(family: Family, tmp_path: Path, named: dict) -> None:
    """transformers looks a name with a slash up on the hub: without the library `kernels` that is an ImportError."""
    directory = tmp_path / "m"
    shutil.copytree(family.base, directory)
    change(directory / "config.json", lambda data: data.update(named))
    model, _ = load_model(ModelArguments(str(directory), device="cpu"))
    assert model.config._attn_implementation == "sdpa"
    config = json.loads((directory / "config.json").read_text())
    assert meta_module(config).config._attn_implementation == "sdpa"
    with torch.no_grad():
        ours, plain = model(torch.tensor([[5, 6]])).logits, load_model(ModelArguments(str(family.base), device="cpu"))
    assert torch.equal(ours, plain[0](torch.tensor([[5, 6]])).logits)


def test_kernels_named_within_a_config_do_not_either() -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**sizes, "model_type": "llama", "vocab_size": 49, "_attn_implementation": KERNEL}
    vision = {
        **sizes,
        "model_type": "clip_vision_model",
        "image_size": 32,
        "patch_size": 16,
        "attn_implementation": KERNEL,
    }
    config = meta_module({"model_type": "llava", "text_config": text, "vision_config": vision}).config
    assert [c._attn_implementation for c in (config, config.text_config, config.vision_config)] == ["sdpa"] * 3


def test_code_of_a_model_type_that_nobody_knows_is_not_run(family: Family, tmp_path: Path, never_asked: None) -> None:
    directory = with_code(family.base, tmp_path / "m", ("config.json",))
    change(directory / "config.json", lambda data: data.update(model_type="own"))
    config = json.loads((directory / "config.json").read_text())
    with pytest.raises((ValueError, SpaceError)):
        meta_module(config)
    assert not (directory / "RAN").exists()


def test_on_a_terminal_eval_asks_nothing_and_runs_nothing(family: Family, tmp_path: Path) -> None:
    directory = with_code(family.base, tmp_path / "m", ("config.json", "tokenizer_config.json"))
    change(directory / "tokenizer_config.json", lambda data: data.update(tokenizer_class="Own"))
    task = tmp_path / "t.jsonl"
    task.write_text("".join(json.dumps(line) + "\n" for line in TASK))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "evomerge.cli", "eval", str(directory), "--tasks", str(task)]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True)
    os.close(theirs)
    os.write(ours, b"y\n")  # whoever asks has this answer
    text = b""
    while part := read(ours):
        text += part
    assert process.wait(timeout=120) == 1, text
    assert b"needs code of its own" in text
    assert b"[y/N]" not in text
    assert b"custom code" not in text
    assert not (directory / "RAN").exists()


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # the other end is closed
        return b""
