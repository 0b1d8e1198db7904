"""A model of any size made of random bfloat16 weights, and fine-tunes of it that differ by a little noise."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM


def write_random_models(directory: Path, n_parameters: float, names: tuple[str, ...]) -> dict[str, Path]:
    """Write the first model as the base, the others as base + noise; return name -> directory.

    Each has `n_parameters` at least, 2 bytes each: layers of 44 million are added until there are enough.
    """
    config = LlamaConfig(
        hidden_size=2048,
        intermediate_size=5632,
        num_attention_heads=32,
        num_key_value_heads=4,
        vocab_size=32000,
        num_hidden_layers=1,
    )
    per_layer, outside = 44_044_288, 2 * 32000 * 2048 + 2048
    config.num_hidden_layers = max(1, -int(-(n_parameters - outside) // per_layer))
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in LlamaForCausalLM(config).state_dict().items()}
    written = {}
    for number, model in enumerate(names):
        target = directory / model
        target.mkdir()
        (target / "config.json").write_text(json.dumps({**config.to_dict(), "architectures": ["LlamaForCausalLM"]}))
        weights = {name: random_weights(shape, place, number) for place, (name, shape) in enumerate(shapes.items())}
        save_file(weights, target / "model.safetensors", {"format": "pt"})
        written[model] = target
    return written


def random_weights(shape: tuple[int, ...], place: int, model: int, device: torch.device | str = "cpu") -> Tensor:
    """Return bfloat16 weights of the tensor at a place, drawn on a device; model 0 is the base of the others."""
    generator = torch.Generator(device).manual_seed(place)
    weights = torch.empty(shape, device=device).normal_(0.0, 0.02, generator=generator)
    if model:
        generator.manual_seed(1000 * model + place)
        weights.add_(torch.empty(shape, device=device).normal_(0.0, 0.002, generator=generator))
    return weights.to(torch.bfloat16)
