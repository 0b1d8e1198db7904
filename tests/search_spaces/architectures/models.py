"""Tiny models of a family: made from its config, saved as transformers saves them, run on inputs of their kind."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from tests.search_spaces.architectures.tiny import DEPTH, Settings, tiny_config

IDS = torch.arange(12).view(2, 6) * 7 % 80 + 3


@dataclass(frozen=True)
class Family:
    """An architecture as people merge it.

    Attributes:
        kind: the class in transformers.
        model_type: what its config.json says.
        settings: what its tiny config needs beside the usual small sizes.
        stacks: stack -> depth, the main one first, said by hand.
        no_slices: a part of the reason why its layers cannot be stacked; "" where they can.
        not_adapted: modules that peft refuses to adapt.
    """

    kind: str
    model_type: str
    settings: Settings = field(default_factory=dict)
    stacks: Mapping[str, int] = field(default_factory=lambda: {"text": DEPTH})
    no_slices: str = ""
    not_adapted: tuple[str, ...] = ()


def build(family: Family, seed: int) -> Any:
    """Return a model whose every parameter matters."""
    torch.manual_seed(seed)
    config = tiny_config(family.model_type, family.settings)
    return stirred(getattr(transformers, family.kind)(config))


def stirred(model: Any) -> Any:
    """Return the model in eval mode, with noise on all parameters: biases and norms start equal everywhere."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.1)
    return model.eval()


def embedding_of(model: Any) -> nn.Embedding | None:
    """Return its token embedding; None if it has none."""
    try:
        found = model.get_input_embeddings()
    except NotImplementedError:
        return None
    return found if isinstance(found, nn.Embedding) else None


def between(a: nn.Module, b: nn.Module, share: float) -> nn.Module:
    """Return (1 - share)·a + share·b, as plain torch computes it."""
    made, first, second = copy.deepcopy(a), a.state_dict(), b.state_dict()
    with torch.no_grad():
        for name, value in made.state_dict().items():
            if value.is_floating_point():
                value.copy_((1 - share) * first[name] + share * second[name])
    return made


def load(directory: Path) -> Any:
    """Load a checkpoint with the class that its config names; nothing may be missing or left over."""
    named = json.loads((directory / "config.json").read_text())["architectures"][0]
    model, told = getattr(transformers, named).from_pretrained(directory, output_loading_info=True)
    assert not any(told.values()), told
    return model.eval()


def outputs(model: Any, ids: Tensor = IDS) -> list[Tensor]:
    """Return all that a model computes from inputs of its kind."""
    given = _inputs(model, ids)
    if getattr(model.config, "is_encoder_decoder", False):
        given["decoder_input_ids"] = ids
    if "use_cache" in inspect.signature(model.forward).parameters:
        given["use_cache"] = False
    with torch.no_grad():
        return list(_tensors(model(**given).to_tuple()))


def _inputs(model: Any, ids: Tensor) -> dict[str, Any]:
    config, main, generator = model.config, model.main_input_name, torch.Generator().manual_seed(0)
    if main == "input_features":
        return {main: torch.randn((2, config.num_mel_bins, 128), generator=generator)}
    if main == "input_values":
        return {main: torch.randn((2, 800), generator=generator)}
    both = (getattr(config, "text_config", None) is not None and main == "pixel_values") or "clip" in config.model_type
    given = {"input_ids": ids} if main == "input_ids" or both else {}
    if main == "pixel_values" or both:
        vision = getattr(config, "vision_config", config)
        side = getattr(vision, "image_size", 16)
        shape = (2, getattr(vision, "num_channels", 3), *(side if isinstance(side, list | tuple) else (side, side)))
        given["pixel_values"] = torch.randn(shape, generator=generator)
    return given


def _tensors(found: Any) -> Iterator[Tensor]:
    if isinstance(found, Tensor) and found.is_floating_point():
        yield found
    elif isinstance(found, tuple | list):
        for one in found:
            yield from _tensors(one)


def assert_same(model: Any, expected: Any) -> None:
    """Both models have the same weights and compute the same."""
    torch.testing.assert_close(model.state_dict(), expected.state_dict(), rtol=0, atol=1e-6)
    for ours, theirs in zip(outputs(model), outputs(expected), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
