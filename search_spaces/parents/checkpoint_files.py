"""Find the files of a checkpoint, and refuse what cannot be merged with a sentence that says what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from evomerge.content import content_of
from search_spaces.errors import SpaceError, in_brief
from search_spaces.parents.model_files import (
    CODE,
    COMPANIONS,
    WEIGHTS_NAMES,
    has_weights,
    index_of,
    module_folders,
)
from search_spaces.recipes.recipe import ParentSource

CONFIG = "config.json"
PIPELINE = "model_index.json"
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
    "sentencepiece*.model",
    "bpe.codes",
    "*.spm",
    "target_vocab.json",
    "tekken.json",
    "normalizer.json",
    "*.tiktoken",
    "chat_template*",
    "additional_chat_templates/*",
)

_DEEPEST = 100  # levels of a JSON file

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_WANTED = (
    *("model*.safetensors", "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model-*.safetensors"),
    *map(index_of, WEIGHTS_NAMES),
    *(CONFIG, GENERATION_CONFIG, ADAPTER_CONFIG, ADAPTER_WEIGHTS, CODE),
    *(*TOKENIZER_FILES, *COMPANIONS),
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
        """Return its values, on the CPU unless it is staged elsewhere; do not write to them."""
        ...


class _MappedFile:
    """A safetensors file whose header safetensors has found sound, mapped when a tensor is read."""

    def __init__(self, path: Path) -> None:
        from safetensors import safe_open

        self.path = path
        self._opened: Any = safe_open(path, framework="pt")

    def header(self) -> Iterator[tuple[str, str, tuple[int, ...], int]]:
        """Yield each tensor's name, its dtype's code, its shape and its first byte's place in the file, by name."""
        with self.path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            entries = json.loads(file.read(length))
        entries.pop("__metadata__", None)
        for name, entry in sorted(entries.items()):
            yield name, entry["dtype"], tuple(entry["shape"]), 8 + length + entry["data_offsets"][0]

    @cached_property
    def _content(self) -> torch.Tensor:
        import torch

        return torch.from_file(str(self.path), shared=False, size=self.path.stat().st_size, dtype=torch.uint8)

    def view(self, tensor: StoredTensor) -> torch.Tensor:
        """Return a view of a tensor's bytes; safetensors' own, ten times as slow, only where they are not aligned."""
        if tensor.first % tensor.dtype.itemsize:
            unaligned: torch.Tensor = self._opened.get_tensor(tensor.name)
            return unaligned
        return self._content[tensor.first : tensor.first + tensor.nbytes].view(tensor.dtype).view(tensor.shape)


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor in a safetensors file; reading gives a view of the mapped file."""

    name: str  # its name in the file
    shape: tuple[int, ...]
    dtype: torch.dtype  # the stored one
    first: int  # where its bytes begin in the file
    _file: _MappedFile

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    @property
    def nbytes(self) -> int:
        """How many bytes it takes there."""
        return prod(self.shape) * self.dtype.itemsize

    def read(self) -> torch.Tensor:
        """Return a view of the file's pages, always the same."""
        return self._view

    @cached_property
    def _view(self) -> torch.Tensor:
        return self._file.view(self)


def open_safetensors(path: Path) -> Mapping[str, LazyTensor]:
    """Return the tensors of one file by name; reads its header, and checks it against the length of the file."""
    from safetensors import SafetensorError

    try:
        file = _MappedFile(path)
    except (SafetensorError, OSError) as error:
        raise SpaceError(
            f"{path}: expected a whole safetensors file, found a truncated or damaged one of {path.stat().st_size:,} "
            f"bytes ({error}); download or save it again"
        ) from error
    dtypes = stored_dtypes()
    found: dict[str, LazyTensor] = {}
    for name, code, shape, first in file.header():
        if code not in dtypes:
            raise SpaceError(
                f"{path.parent}: expected float32, bfloat16 or float16, found {code} in {name}; "
                "convert the weights to one of these first"
            )
        found[name] = StoredTensor(name, shape, dtypes[code], first, file)
    return found


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
    if not has_weights(directory) and any(directory.glob("*.gguf")):
        raise SpaceError(f"{directory}: expected safetensors, found GGUF files: {_full_precision()}")
    if (directory / PIPELINE).is_file() and not (directory / CONFIG).is_file():
        raise SpaceError(
            f"{directory}: expected one model, found a pipeline of diffusers; name a component, as its unet"
        )
    if not (directory / CONFIG).is_file():
        inside = next((f for f in module_folders(directory) if (directory / f / CONFIG).is_file()), None)
        if inside is not None and has_weights(directory / inside):
            raise SpaceError(
                f"{directory}: expected a model, found one of sentence-transformers whose transformer is in {inside}; "
                f"name {directory / inside}, and put the result in that folder of a copy"
            )
        raise SpaceError(f"{directory}: expected {CONFIG}, found none: is this the directory of a checkpoint?")
    config = read_json(directory / CONFIG)
    quantised = config.get("quantization_config") or config.get("compression_config")
    if quantised:
        method = quantised.get("quant_method", "unnamed") if isinstance(quantised, dict) else "unnamed"
        raise SpaceError(f"{directory}: expected plain weights, found quantised ones ({method}): {_full_precision()}")
    return config


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object from a file; one that is nested deeper than any that is meant is refused."""
    try:
        data = json.loads(content_of(path).decode())
    except RecursionError as error:
        raise SpaceError(_too_deep(path)) from error
    except (OSError, ValueError) as error:
        raise SpaceError(f"{path}: expected a JSON object, found what cannot be read ({in_brief(error)})") from error
    if not isinstance(data, dict):
        raise SpaceError(f"{path}: expected a JSON object, found {type(data).__name__}")
    level: list[Any] = [data]
    for _ in range(_DEEPEST):
        inner = [value.values() if isinstance(value, dict) else value for value in level]
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
        if not level:
            return data
    raise SpaceError(_too_deep(path))


def _too_deep(path: Path) -> str:
    return f"{path}: expected JSON of at most {_DEEPEST} levels, found a deeper one; download the file again"


def _download(source: ParentSource) -> Path:
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(source.model, revision=source.revision, allow_patterns=list(_WANTED))
        if folders := module_folders(Path(found)):
            inside = [f"{folder}/*" for folder in folders]
            snapshot_download(source.model, revision=source.revision, allow_patterns=inside)
    except Exception as error:  # the classes depend on the version of the hub's HTTP client
        raise SpaceError(
            f"{source.model}: no such directory, and as a hub id it could not be downloaded: {in_brief(error)}"
        ) from error
    return Path(found)


def _full_precision() -> str:
    return "merging needs float32, bfloat16 or float16 weights; name the model that this one was quantised from"
