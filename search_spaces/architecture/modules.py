"""Modules of an architecture, made by transformers from what stands in a config.json."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from search_spaces.architecture.bounds import MOST_LAYERS, check_depths
from search_spaces.errors import SpaceError

if TYPE_CHECKING:
    import torch
    from torch import nn

# What transformers raises for a config that it cannot make a model of.
UNKNOWN = (
    *(ValueError, LookupError, TypeError, AttributeError, ImportError, RuntimeError, OSError),
    *(ArithmeticError, AssertionError, MemoryError),
)

# What a config.json may say of who computes attention and experts, at any depth: it can name a repository of the hub
# with native code. Who computes is for the program to say.
_IMPLEMENTATION = re.compile(r"^_?(attn|experts)_implementation(_internal|_autoset)?$|^(use_kernels|kernel_config)$")

# Tried in this order where config.json names no class.
_AUTO = (
    "AutoModelForCausalLM",
    "AutoModelForImageTextToText",
    "AutoModelForSeq2SeqLM",
    "AutoModelForMaskedLM",
    "AutoModel",
)


class NoModelError(SpaceError):
    """transformers knows a config, but has no model of it."""


def read_config(config_json: Mapping[str, Any]) -> Any:
    """Return transformers' configuration for what stands in a config.json.

    Code and kernels that it names are never loaded.
    """
    from huggingface_hub.errors import StrictDataclassError, StrictDataclassFieldValidationError
    from transformers import AutoConfig

    check_depths(config_json, MOST_LAYERS)
    with TemporaryDirectory() as directory:
        other: set[str] = set()  # numbers that transformers wants whole, or not, against how they are written
        while True:
            text = json.dumps(_with_other_numbers(_without_implementations(config_json), other))
            (Path(directory) / "config.json").write_text(text, encoding="utf-8")
            try:
                return AutoConfig.from_pretrained(directory, trust_remote_code=False)
            except StrictDataclassFieldValidationError as error:
                if (name := re.search(r"field '(\w+)'", str(error))) is None or name[1] in other:
                    raise ValueError(str(error)) from error
                other.add(name[1])
            except StrictDataclassError as error:
                raise ValueError(str(error)) from error


def is_known(config_json: Mapping[str, Any]) -> bool:
    """Return whether transformers has such models, and no code beside the checkpoint makes them in its place."""
    from transformers import CONFIG_MAPPING

    kind = config_json.get("model_type")
    return isinstance(kind, str) and kind in CONFIG_MAPPING and "auto_map" not in config_json


def _without_implementations(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_implementations(v) for k, v in value.items() if not _IMPLEMENTATION.match(str(k))}
    return [_without_implementations(inner) for inner in value] if isinstance(value, list) else value


def _with_other_numbers(value: Any, names: set[str], *, change: bool = False) -> Any:
    """Return 256 for 256.0 and 1.0 for 1 under some keys, and so within lists and maps under them."""
    if isinstance(value, Mapping):
        return {k: _with_other_numbers(inner, names, change=change or k in names) for k, inner in value.items()}
    if isinstance(value, list):
        return [_with_other_numbers(inner, names, change=change) for inner in value]
    if not change or isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return float(value) if isinstance(value, int) else int(value) if value.is_integer() else value


@lru_cache(maxsize=64)
def settings_of(config_json: str) -> Mapping[str, Any]:
    """Return a config.json (its text) with what it leaves out: the architecture's defaults.

    A model type that transformers does not know has none: it is returned as it is.
    """
    config: dict[str, Any] = json.loads(config_json)
    try:
        found: dict[str, Any] = read_config(config).to_dict()
    except UNKNOWN:
        return config
    return found


def uninitialised(config: Any, dtype: torch.dtype, *, generative: bool = False) -> nn.Module:
    """Return a module in eval mode with undefined weights, of the class that the config names.

    The weights are allocated but not initialised, nor touched: until they are written they take no memory.

    Args:
        config: of transformers.
        dtype: of the weights.
        generative: take a class with a head over the vocabulary in place of a bare one, where there is one.

    Raises:
        one of UNKNOWN: transformers has no such class, or cannot make a module of the config.
    """
    from transformers.initialization import no_init_weights

    kind = class_of(config, generative=generative)
    # None is transformers' own choice (sdpa, else eager); eager alone can return what `output_attentions` asks for.
    attention = "eager" if getattr(config, "_attn_implementation", None) == "eager" else None
    with no_init_weights():
        module = kind._from_config(config, dtype=dtype, attn_implementation=attention)
    module.tie_weights()
    evaluated: nn.Module = module.eval()
    return evaluated


def class_of(config: Any, *, generative: bool = False) -> Any:
    """Return the class of transformers that a config names, or the first that is made of such configs.

    Args:
        config: of transformers.
        generative: take a class with a head over the vocabulary in place of a bare one, where there is one.

    Raises:
        NoModelError: transformers has no such class.
    """
    import transformers
    from transformers import PreTrainedModel

    named = (config.architectures or [None])[0]
    kind: Any = getattr(transformers, named, None) if isinstance(named, str) else None
    fits = isinstance(kind, type) and issubclass(kind, PreTrainedModel)
    if not fits or not isinstance(config, kind.config_class):
        kind = None
    if kind is not None and not (generative and named.endswith("Model")):
        return kind
    for auto in _AUTO if kind is None else _AUTO[:3]:
        mapping = getattr(transformers, auto)._model_mapping
        if type(config) in mapping:
            found = mapping[type(config)]
            return found[0] if isinstance(found, tuple) else found
    if kind is None:
        raise NoModelError(f"transformers has no model of the type {config.model_type!r}")
    return kind
