"""Checkpoints and adapters of strangers: headers, configs and tokenizers that are not what they should be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from hypothesis import strategies as st

from tests.fuzz.mutations import as_json, json_text, mutated, mutated_bytes

Spoilt: TypeAlias = tuple[str, bytes]  # a file of the stranger's and its content


def _stranger(directory: Path) -> Path:
    """Make a base, an adapter on it, and the stranger's model; return the last."""
    from tests.conftest import make_family

    if not (directory / "base").exists():
        make_family(directory, ("stranger",), hidden=16)
        (directory / "task.jsonl").write_text('{"question": "1 + 1 =", "choices": ["2", "3"], "gold": 0}\n')
    return directory / "stranger"


def _adapter(directory: Path) -> Path:
    from tests.search_spaces.parents.adapters import save_adapter

    _stranger(directory)
    patterns = {"rank_pattern": {"down_proj": 2}, "alpha_pattern": {r"layers\.0\..*q_proj": 7}}
    return save_adapter(directory / "base", directory / "adapter", **patterns)


def _header(content: bytes) -> st.SearchStrategy[bytes]:
    """Return a safetensors file whose header, or the header's length, is not right."""
    n = int.from_bytes(content[:8], "little")
    document, data = json.loads(content[8 : 8 + n]), content[8 + n :]

    def written(spoilt: object) -> bytes:
        header = as_json(spoilt).encode("utf-8", "surrogatepass")
        return len(header).to_bytes(8, "little") + header + data

    lengths = st.sampled_from((0, 1, n - 1, n + 1, 2**31, 2**63, 2**64 - 1)) | st.integers(0, 2**64 - 1)
    return st.one_of(
        mutated(document).map(written),
        mutated(document).map(written),
        lengths.map(lambda length: length.to_bytes(8, "little") + content[8:]),
        mutated_bytes(content[: 8 + n]).map(lambda head: head + data),
    )


def _of_file(name: str) -> Callable[[Path], st.SearchStrategy[Spoilt]]:
    def inputs(directory: Path) -> st.SearchStrategy[Spoilt]:
        place = _adapter(directory) if name.startswith("adapter") else _stranger(directory)
        content = (place / name).read_bytes()
        spoilt = _header(content) if name.endswith(".safetensors") else json_text(json.loads(content))
        return spoilt.map(lambda found: (f"{place.name}/{name}", found))

    return inputs


SPOILT = {
    "safetensors headers": _of_file("model.safetensors"),
    "config.json": _of_file("config.json"),
    "tokenizer.json": _of_file("tokenizer.json"),
    "tokenizer_config.json": _of_file("tokenizer_config.json"),
    "adapter_config.json": _of_file("adapter_config.json"),
    "adapters' tensors": _of_file("adapter_model.safetensors"),
}


def read(spoilt: Spoilt, directory: Path) -> None:
    """Merge with the stranger's model and evaluate it."""
    import evomerge

    file, content = directory / spoilt[0], spoilt[1]
    before = file.read_bytes()
    shutil.rmtree(directory / "merged", ignore_errors=True)
    adapted = file.parent.name == "adapter"
    named = f"{directory / 'base'}+{directory / 'adapter'}" if adapted else str(directory / "stranger")
    models = [{"model": str(directory / "base")}, {"model": named}]
    if not adapted:
        models.reverse()  # the stranger's files are then the output's
    recipe = {
        "merge_method": "linear",
        "dtype": "float32",
        "models": [{**m, "parameters": {"weight": 0.5}} for m in models],
    }
    (directory / "recipe.yml").write_text(json.dumps(recipe))
    try:
        file.write_bytes(content)
        evomerge.merge(directory / "recipe.yml", directory / "merged")
        evomerge.evaluate(directory / "merged", [directory / "task.jsonl"])
    finally:
        file.write_bytes(before)
