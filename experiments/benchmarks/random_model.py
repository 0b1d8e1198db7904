"""A model of any size made of random bfloat16 weights, and fine-tunes of it that differ by a little noise."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from search_spaces.output.safetensors_writer import TensorSpec, write_shard


def write_random_models(directory: Path, n_parameters: float, names: tuple[str, ...]) -> dict[str, Path]:
    """Write the first model as the base, the others as base + noise; return name -> directory.

    Args:
        directory: where the models go; needs 2 bytes for each parameter and model.
        n_parameters: at least; layers of 44 million are added until there are enough.
        names: of the models.
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
    specs = [TensorSpec(name, shape, torch.bfloat16) for name, shape in shapes.items()]
    order = {name: i for i, name in enumerate(shapes)}
    written = {}
    for number, model in enumerate(names):
        target = directory / model
        target.mkdir()
        (target / "config.json").write_text(json.dumps({**config.to_dict(), "architectures": ["LlamaForCausalLM"]}))
        make = partial(_weights, shapes=shapes, order=order, model=number)
        write_shard(target / "model.safetensors", specs, partial(map, make))
        written[model] = target
    return written


def _weights(name: str, *, shapes: dict[str, tuple[int, ...]], order: dict[str, int], model: int) -> Tensor:
    generator = torch.Generator().manual_seed(order[name])
    weights = torch.empty(shapes[name]).normal_(0.0, 0.02, generator=generator)
    if model:
        generator.manual_seed(1000 * model + order[name])
        weights.add_(torch.empty(shapes[name]).normal_(0.0, 0.002, generator=generator))
    return weights.to(torch.bfloat16)
