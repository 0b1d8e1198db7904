"""What only transformers knows about an architecture: its module, and how its checkpoints name the module's weights."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.errors import SpaceError
from search_spaces.parents.checkpoint import Checkpoint

# What transformers raises for a config that it cannot make a model of.
_UNKNOWN = (ValueError, KeyError, TypeError, AttributeError, ImportError)


def build_module(
    checkpoint: Checkpoint, *, compute_dtype: torch.dtype = torch.float32, config_json: Mapping[str, Any] | None = None
) -> nn.Module:
    """Return a causal language model of a checkpoint's architecture, in eval mode, with undefined weights.

    The weights are allocated but not initialised, nor touched: until they are written they take no memory. Code that
    the checkpoint brings is never run; `config_json` None is the checkpoint's own.
    """
    from transformers import GenerationConfig

    try:
        config = _read_config(checkpoint.config if config_json is None else config_json)
        config.tie_word_embeddings = checkpoint.tied
        if "vocab_size" in checkpoint.config:  # a mapped vocabulary has other rows than the file tells
            config.vocab_size = checkpoint.config["vocab_size"]
        module = _uninitialised(config, compute_dtype)
    except _UNKNOWN as error:
        raise SpaceError(
            f"{checkpoint.directory}: expected a causal language model that transformers knows, found model_type "
            f"{checkpoint.config.get('model_type')!r} ({error})"
        ) from error
    if (checkpoint.directory / "generation_config.json").is_file():
        module.generation_config = GenerationConfig.from_pretrained(checkpoint.directory)
    return module


def module_of(config_json: Mapping[str, Any]) -> nn.Module:
    """Return a causal language model in float32 for what stands in a config.json; see `build_module`."""
    try:
        return _uninitialised(_read_config(config_json), torch.float32)
    except _UNKNOWN as error:
        kind = config_json.get("model_type")
        raise SpaceError(f"config: expected settings of a causal language model, found {kind!r} ({error})") from error


def settings(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return a checkpoint's config with what config.json leaves out: the architecture's defaults.

    A model type that transformers does not know has none: its config.json is returned as it is.
    """
    return dict(_settings(json.dumps(checkpoint.config)))


@lru_cache(maxsize=64)
def _settings(config_json: str) -> Mapping[str, Any]:
    config: dict[str, Any] = json.loads(config_json)
    try:
        found: dict[str, Any] = _read_config(config).to_dict()
    except _UNKNOWN:
        return config
    return found


def _read_config(config_json: Mapping[str, Any]) -> Any:
    from huggingface_hub.errors import StrictDataclassError, StrictDataclassFieldValidationError
    from transformers import AutoConfig

    with TemporaryDirectory() as directory:
        other: set[str] = set()  # numbers that transformers wants whole, or not, against how they are written
        while True:
            text = json.dumps(_with_other_numbers(config_json, other))
            (Path(directory) / "config.json").write_text(text, encoding="utf-8")
            try:
                return AutoConfig.from_pretrained(directory, trust_remote_code=False)
            except StrictDataclassFieldValidationError as error:
                if (name := re.search(r"field '(\w+)'", str(error))) is None or name[1] in other:
                    raise ValueError(str(error)) from error
                other.add(name[1])
            except StrictDataclassError as error:
                raise ValueError(str(error)) from error


def _with_other_numbers(value: Any, names: set[str], *, change: bool = False) -> Any:
    """Return 256 for 256.0 and 1.0 for 1 under some keys, and so within lists and maps under them."""
    if isinstance(value, Mapping):
        return {k: _with_other_numbers(inner, names, change=change or k in names) for k, inner in value.items()}
    if isinstance(value, list):
        return [_with_other_numbers(inner, names, change=change) for inner in value]
    if not change or isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return float(value) if isinstance(value, int) else int(value) if value.is_integer() else value


def _uninitialised(config: Any, dtype: torch.dtype) -> nn.Module:
    from transformers import AutoModelForCausalLM
    from transformers.initialization import no_init_weights

    with no_init_weights():
        module = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)
    module.tie_weights()
    evaluated: nn.Module = module.eval()
    return evaluated


@dataclass(frozen=True)
class Part:
    """Where a checkpoint's tensor lies in one of a module's weights."""

    name: str  # of the checkpoint's tensor
    shape: tuple[int, ...]  # of it
    strides: tuple[int, ...]  # in the weight's elements
    offset: int  # of its first element in the weight

    def of(self, weight: Tensor) -> Tensor:
        """Return a view of the part in a contiguous weight."""
        return weight.as_strided(self.shape, self.strides, weight.storage_offset() + self.offset)


def checkpoint_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return views of a module's weights under the names that its checkpoints use."""
    state: dict[str, Tensor] = dict(module.state_dict())
    parts = checkpoint_parts(module, state)
    return {part.name: part.of(weight) for key, weight in state.items() for part in parts[key]}


def checkpoint_parts(module: nn.Module, keys: Iterable[str]) -> dict[str, tuple[Part, ...]]:
    """Return which tensors of a checkpoint each of a module's weights is made of.

    For most architectures that is one tensor of the same name. Where transformers fuses a checkpoint's tensors into
    one parameter (experts, for example), each of them is a part.
    """
    from transformers import PreTrainedModel
    from transformers.conversion_mapping import get_model_conversion_mapping

    state = module.state_dict()
    fused = isinstance(module, PreTrainedModel) and get_model_conversion_mapping(module, add_legacy=False)
    return {key: _split(module, key, state[key]) if fused else (_whole(key, state[key]),) for key in keys}


def _whole(key: str, tensor: Tensor) -> Part:
    return Part(key, tuple(tensor.shape), tensor.stride(), 0)


def _split(module: Any, key: str, tensor: Tensor) -> tuple[Part, ...]:
    """Let transformers split a tensor of element numbers, and read off which elements each part holds."""
    from transformers.core_model_loading import revert_weight_conversion

    numbers = torch.arange(tensor.numel()).view(tensor.shape)
    parts = revert_weight_conversion(module, {key: numbers})
    return tuple(_part(tensor, part, name) for name, part in parts.items())


def _part(tensor: Tensor, numbers: Tensor, name: str) -> Part:
    first = int(numbers.flatten()[0]) if numbers.numel() else 0
    strides = [
        int(numbers.select(d, 1).flatten()[0]) - first if size > 1 else 1 for d, size in enumerate(numbers.shape)
    ]
    try:
        elements = torch.arange(tensor.numel()).as_strided(numbers.shape, strides, first)
    except RuntimeError:  # a negative stride, or beyond the end
        elements = torch.empty(0)
    if not tensor.is_contiguous() or not elements.equal(numbers):
        raise SpaceError(f"{name}: expected a plain part of one of the model's parameters, found a permuted one")
    return Part(name, tuple(numbers.shape), tuple(strides), first)
