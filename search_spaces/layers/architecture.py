"""Live modules of checkpoints, and their settings."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from functools import reduce
from typing import Any

import torch
from torch import nn

from search_spaces.architecture.modules import UNKNOWN, class_of, read_config, settings_of, uninitialised
from search_spaces.architecture.reading import meta_module, module_keys
from search_spaces.errors import SpaceError, in_brief
from search_spaces.parents.checkpoint import Checkpoint


def build_module(
    checkpoint: Checkpoint, *, compute_dtype: torch.dtype = torch.float32, config_json: Mapping[str, Any] | None = None
) -> nn.Module:
    """Return a model of a checkpoint's architecture, in eval mode, with undefined weights.

    A bare backbone gets the head over the vocabulary that its architecture has, where the file holds its weights (it is
    tied). The weights are allocated but not initialised, nor touched: until they are written they take no memory. Code
    that the checkpoint brings is never run; `config_json` None is the checkpoint's own.
    """
    from transformers import GenerationConfig

    try:
        config = read_config(checkpoint.config if config_json is None else config_json)
        architecture = checkpoint.architecture
        if architecture.has_head or architecture.guessed:
            reduce(getattr, architecture.head_level, config).tie_word_embeddings = checkpoint.tied
        module = uninitialised(config, compute_dtype, generative=_has_head_weights(checkpoint))
    except UNKNOWN as error:
        raise SpaceError(
            f"{checkpoint.directory}: expected a model that transformers knows, found model_type "
            f"{checkpoint.config.get('model_type')!r} ({in_brief(error)})"
        ) from error
    if (checkpoint.directory / "generation_config.json").is_file():
        try:
            module.generation_config = GenerationConfig.from_pretrained(checkpoint.directory)
        except Exception as error:  # whatever transformers makes of it
            file = checkpoint.directory / "generation_config.json"
            raise SpaceError(f"{file}: expected settings, found what cannot be read ({in_brief(error)})") from error
    return module


def why_no_text(checkpoint: Checkpoint) -> str:
    """Return why live models of a checkpoint cannot be asked in text; empty where they can, or nobody knows them."""
    try:
        config = read_config(checkpoint.config)
        kind = class_of(config, generative=_has_head_weights(checkpoint))
    except UNKNOWN:
        return ""
    if not kind.can_generate():
        return f"{kind.__name__} has no head that predicts the next token"
    if config.is_encoder_decoder and kind.main_input_name != "input_ids":
        return f"{kind.__name__} reads {kind.main_input_name}, not text"
    given = ("self", "input_ids")
    parameters = inspect.signature(kind.forward).parameters.values()
    asked = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    needed = [name for name in asked if name not in given]
    if needed:
        return f"{kind.__name__} cannot be run without {', '.join(needed)}"
    return ""


def _has_head_weights(checkpoint: Checkpoint) -> bool:
    """Return whether the file of a bare backbone holds all that the class with a head has; true of other classes."""
    named = (checkpoint.config.get("architectures") or [""])[0]
    if not named.endswith("Model"):
        return True
    module = meta_module(checkpoint.config, generative=True)
    state = module.state_dict(keep_vars=True)
    written = {id(state[key]) for key in module_keys(module, checkpoint.names).values()}
    return all(id(parameter) in written for parameter in module.parameters())


def module_of(config_json: Mapping[str, Any]) -> nn.Module:
    """Return a model in float32 for what stands in a config.json; see `build_module`."""
    try:
        return uninitialised(read_config(config_json), torch.float32, generative=True)
    except UNKNOWN as error:
        kind = config_json.get("model_type")
        raise SpaceError(f"config: expected settings of a model, found {kind!r} ({in_brief(error)})") from error


def settings(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return a checkpoint's config with what config.json leaves out: the architecture's defaults.

    A model type that transformers does not know has none: its config.json is returned as it is.
    """
    return dict(settings_of(json.dumps(checkpoint.config)))
