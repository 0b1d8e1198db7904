"""The weight files of a checkpoint: one, or shards with an index."""

from __future__ import annotations

import re
from pathlib import Path

from search_spaces.errors import SpaceError
from search_spaces.parents.checkpoint_files import read_json
from search_spaces.parents.model_files import WEIGHTS_NAMES, index_of, weights_name

_CONVERT = (
    "convert it once: python -c \"from transformers import AutoModelForCausalLM as M; M.from_pretrained('{0}')"
    ".save_pretrained('{0}-safetensors', safe_serialization=True)\" and copy its tokenizer files"
)


def find_shards(directory: Path) -> dict[Path, list[str] | None]:
    """Return a checkpoint's safetensors files, each with the tensors the index promises (None: no index)."""
    name = weights_name(directory)
    whole, index = directory / f"{name}.safetensors", directory / index_of(name)
    if whole.is_file():  # transformers, too, prefers the single file where both exist
        return {whole: None}
    if not index.is_file():
        raise SpaceError(_without_weights(directory))
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise SpaceError(f"{index}: expected a weight_map of tensor names to files, found {weight_map!r}")
    shards: dict[Path, list[str] | None] = {}
    for tensor, file in weight_map.items():
        if not isinstance(file, str) or re.fullmatch(r"[^/\\]+\.safetensors", file) is None:
            raise SpaceError(
                f"{index}: expected the name of a safetensors file in the same directory, found {file!r} for {tensor}"
            )
        names = shards.setdefault(directory / file, [])
        if names is not None:
            names.append(tensor)
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise SpaceError(
            f"{directory}: expected {len(shards)} shards, {len(missing)} of them missing: {', '.join(missing[:3])}; "
            "download the checkpoint again"
        )
    return shards


def _without_weights(directory: Path) -> str:
    if any(directory.glob("*.bin")) or any(directory.glob("*.pt*")):
        return f"{directory}: expected safetensors, found PyTorch pickles, which can run code: " + _CONVERT.format(
            directory
        )
    if any(directory.glob("model-*.safetensors")):
        return f"{directory}: expected {index_of('model')} beside the shards, found none; download the checkpoint again"
    others = sorted(path.name for path in directory.glob("*.safetensors"))
    if others:
        expected = " or ".join(f"{name}.safetensors" for name in WEIGHTS_NAMES)
        return f"{directory}: expected {expected} or their shards, found {', '.join(others[:3])}; rename the whole one"
    return (
        f"{directory}: expected model.safetensors or {index_of('model')}, found neither; if there are .bin files only, "
        + _CONVERT.format(directory)
    )
