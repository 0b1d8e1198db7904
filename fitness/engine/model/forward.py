"""One forward pass of a language model, with logits only where they are read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from fitness.engine.model.text_model import text_model
from fitness.errors import FitnessError


def logits_at(
    model: nn.Module, ids: torch.Tensor, positions: torch.Tensor, *, ids_are: str = "", **arguments: Any
) -> torch.Tensor:
    """Return the logits (n_positions, n_vocabulary) at `positions` of the flattened (n_rows * length) token ids.

    The ids are the model's first argument, or the one of a name, and `arguments` stand beside them.

    The hidden states are gathered on their way into the output layer, inside the model's own forward pass, so that
    whatever the model does to its logits afterwards (scaling, soft capping) is still done.
    """
    find: Callable[[], nn.Module | None] | None = getattr(model, "get_output_embeddings", None)
    head = find() if find is not None else None
    gathered = []

    def gather(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden = inputs[0]
        if hidden.shape[:-1] != ids.shape:
            return inputs
        gathered.append(True)
        return (hidden.reshape(1, -1, hidden.shape[-1])[:, positions.to(hidden.device)], *inputs[1:])

    with known_tokens(), head.register_forward_pre_hook(gather) if head is not None else nullcontext():
        output = model(**{ids_are: ids}, **arguments) if ids_are else model(ids, **arguments)
    logits = getattr(output, "logits", output)
    if not isinstance(logits, torch.Tensor):
        raise FitnessError(f"model: expected logits from {type(model).__name__}, found {type(logits).__name__}")
    if not gathered:
        logits = logits.reshape(1, -1, logits.shape[-1])[:, positions.to(logits.device)]
    return logits[0]


@contextmanager
def known_tokens() -> Iterator[None]:
    """Turn the error of a token that has no row in a model's embedding into one that says so."""
    try:
        yield
    except IndexError as error:
        raise FitnessError(
            f"model: expected tokens with a row in its embedding, found others ({error}): is the tokenizer its own?"
        ) from error


def accepts(model: nn.Module, argument: str) -> bool:
    """Say whether the model's forward pass has an argument of this name."""
    return argument in inspect.signature(model.forward).parameters


def without_cache(model: nn.Module) -> dict[str, Any]:
    """Return the argument that tells the model to keep no keys and values, if it or a model inside of it knows one."""
    inside = text_model(model)
    knows = accepts(model, "use_cache") or (inside is not model and _passes_on(model) and accepts(inside, "use_cache"))
    return {"use_cache": False} if knows else {}


def _passes_on(model: nn.Module) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(model.forward).parameters.values())


def device_of(model: nn.Module) -> torch.device:
    """Return where the model's inputs belong."""
    return next(model.parameters()).device


_DEPTH = {"num_hidden_layers", "num_layers", "n_layers", "n_layer", "max_window_layers"}  # as configs call it


def kind_of(model: nn.Module) -> str:
    """Return a name for everything about a model that decides how it is run.

    How many layers it has does not, nor where it comes from.
    """
    parameter = next(model.parameters())
    config = getattr(model, "config", None)
    settings = config if config is None or not hasattr(config, "to_dict") else _of_any_depth(config.to_dict())
    return f"{type(model).__qualname__} {parameter.device} {parameter.dtype} {settings!r}"


def _of_any_depth(settings: dict[str, Any]) -> dict[str, Any]:
    """Return a config without depth and origin; of what it says layer by layer, only which values there are."""
    depths = {settings[name] for name in _DEPTH & settings.keys()}
    result: dict[str, Any] = {}
    for name, value in settings.items():
        if str(name).startswith("_") or name in _DEPTH:  # as _name_or_path
            continue
        if isinstance(value, dict):
            result[name] = _of_any_depth(value)
        elif isinstance(value, list) and len(value) in depths:
            result[name] = sorted(set(map(repr, value)))
        else:
            result[name] = value
    return result
