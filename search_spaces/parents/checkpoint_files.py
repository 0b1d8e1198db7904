"""Find the files of a checkpoint, and refuse what cannot be merged with a sentence that says what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from search_spaces.errors import SpaceError
from search_spaces.recipes.recipe import ParentSource

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
CONFIG = "config.json"
GENERATION_CONFIG = "generation_config.json"
TOKENIZER = "tokenizer.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
TOKENIZER_FILES = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "spiece.model",
    "*.tiktoken",
    "chat_template*",
    "additional_chat_templates/*",
)

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_WANTED = ("model*.safetensors", INDEX, CONFIG, GENERATION_CONFIG, ADAPTER_CONFIG, ADAPTER_WEIGHTS, *TOKENIZER_FILES)
_CONVERT = (
    "convert it once: python -c \"from transformers import AutoModelForCausalLM as M; M.from_pretrained('{0}')"
    ".save_pretrained('{0}-safetensors', safe_serialization=True)\" and copy its tokenizer files"
)


if TYPE_CHECKING:
    import torch


class LazyTensor(Protocol):
    """A tensor of a parent: stored, or computed from stored ones."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return its shape; reads no data."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype that `read` gives; reads no data."""
        ...

    def read(self) -> torch.Tensor:
        """Return its values, on the CPU; do not write to them."""
        ...


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a safetensors file; reading gives a view of the mapped file."""

    name: str  # its name in the file
    _file: Any  # safetensors.safe_open

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The shape that the file's header tells."""
        return tuple(self._file.get_slice(self.name).get_shape())

    @cached_property
    def dtype(self) -> torch.dtype:
        """The stored dtype."""
        return stored_dtypes()[self._file.get_slice(self.name).get_dtype()]

    def read(self) -> torch.Tensor:
        """Return a view of the file's pages, always the same."""
        return self._view

    @cached_property
    def _view(self) -> torch.Tensor:
        tensor: torch.Tensor = self._file.get_tensor(self.name)
        return tensor


def open_safetensors(path: Path) -> Mapping[str, LazyTensor]:
    """Return the tensors of one file by name; reads its header, and checks it against the length of the file."""
    from safetensors import SafetensorError, safe_open

    try:
        file: Any = safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise SpaceError(
            f"{path}: expected a whole safetensors file, found a truncated or damaged one of {path.stat().st_size:,} "
            f"bytes ({error}); download or save it again"
        ) from error
    names = sorted(file.keys())
    for name in names:
        found = file.get_slice(name).get_dtype()
        if found not in stored_dtypes():
            raise SpaceError(
                f"{path.parent}: expected float32, bfloat16 or float16, found {found} in {name}; "
                "convert the weights to one of these first"
            )
    return {name: StoredTensor(name, file) for name in names}


def stored_dtypes() -> dict[str, torch.dtype]:
    """Return safetensors' code -> dtype, of all that can be read and written."""
    import torch

    return {
        "F64": torch.float64,
        "F32": torch.float32,
        "F16": torch.float16,
        "BF16": torch.bfloat16,
        "I64": torch.int64,
        "I32": torch.int32,
        "I16": torch.int16,
        "I8": torch.int8,
        "U8": torch.uint8,
        "BOOL": torch.bool,
    }


def find_directory(source: ParentSource) -> Path:
    """Return the directory that holds a parent's files; a hub id is downloaded, or taken from the local cache."""
    path = Path(source.model).expanduser()
    if path.suffix == ".gguf":
        raise SpaceError(f"{path}: expected safetensors, found GGUF: {_full_precision()}")
    if path.is_dir():
        return path.resolve()
    if path.exists():
        raise SpaceError(f"{path}: expected the directory of a checkpoint, found a file")
    if not _HUB_ID.fullmatch(source.model):
        raise SpaceError(f"{path}: expected the directory of a checkpoint, found nothing there")
    return _download(source)


def read_config(directory: Path) -> dict[str, Any]:
    """Return a checkpoint's config.json."""
    has_weights = (directory / WEIGHTS).is_file() or (directory / INDEX).is_file()
    if not has_weights and any(directory.glob("*.gguf")):
        raise SpaceError(f"{directory}: expected safetensors, found GGUF files: {_full_precision()}")
    if not (directory / CONFIG).is_file():
        raise SpaceError(f"{directory}: expected {CONFIG}, found none: is this the directory of a checkpoint?")
    config = read_json(directory / CONFIG)
    quantised = config.get("quantization_config") or config.get("compression_config")
    if quantised:
        method = quantised.get("quant_method", "unnamed") if isinstance(quantised, dict) else "unnamed"
        raise SpaceError(f"{directory}: expected plain weights, found quantised ones ({method}): {_full_precision()}")
    return config


def find_shards(directory: Path) -> dict[Path, list[str] | None]:
    """Return a checkpoint's safetensors files, each with the tensors the index promises (None: no index)."""
    if (directory / WEIGHTS).is_file():  # transformers, too, prefers the single file where both exist
        return {directory / WEIGHTS: None}
    if not (directory / INDEX).is_file():
        raise SpaceError(_without_weights(directory))
    weight_map = read_json(directory / INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise SpaceError(f"{directory / INDEX}: expected a weight_map of tensor names to files, found {weight_map!r}")
    shards: dict[Path, list[str] | None] = {}
    for tensor, file in weight_map.items():
        if not isinstance(file, str) or re.fullmatch(r"[^/\\]+\.safetensors", file) is None:
            raise SpaceError(
                f"{directory / INDEX}: expected the name of a safetensors file in the same directory, found {file!r} "
                f"for {tensor}"
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


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object from a file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpaceError(f"{path}: expected a JSON object, found what cannot be read ({error})") from error
    if not isinstance(data, dict):
        raise SpaceError(f"{path}: expected a JSON object, found {type(data).__name__}")
    return data


def _download(source: ParentSource) -> Path:
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(source.model, revision=source.revision, allow_patterns=list(_WANTED))
    except Exception as error:  # the classes depend on the version of the hub's HTTP client
        reason = " ".join(str(error).split())
        raise SpaceError(
            f"{source.model}: no such directory, and as a hub id it could not be downloaded: {reason}"
        ) from error
    return Path(found)


def _without_weights(directory: Path) -> str:
    if any(directory.glob("*.bin")) or any(directory.glob("*.pt*")):
        return f"{directory}: expected safetensors, found PyTorch pickles, which can run code: " + _CONVERT.format(
            directory
        )
    if any(directory.glob("model-*.safetensors")):
        return f"{directory}: expected {INDEX} beside the shards, found none; download the checkpoint again"
    return (
        f"{directory}: expected {WEIGHTS} or {INDEX}, found neither; if the model has .bin files only, "
        + _CONVERT.format(directory)
    )


def _full_precision() -> str:
    return "merging needs float32, bfloat16 or float16 weights; name the model that this one was quantised from"
