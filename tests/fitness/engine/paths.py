"""Models of one bank of layers: any order of them, repeated and scaled, with shared weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn
from transformers import LlamaForCausalLM

from tests.conftest import tiny_config

Path = Sequence[tuple[int, float]]  # which layer of the bank, and what its input is multiplied by
N_LAYERS = 3


def make_bank(seed: int = 0) -> LlamaForCausalLM:
    """Return a model of `N_LAYERS` layers whose predictions are sharp."""
    torch.manual_seed(seed)
    bank = LlamaForCausalLM(tiny_config(layers=N_LAYERS)).eval()
    with torch.no_grad():
        for parameter in bank.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8.0)
    return bank


def along(bank: LlamaForCausalLM, path: Path, *, in_place: bool = False) -> LlamaForCausalLM:
    """Return a model whose layers are the bank's, in the order of the path; in place they write into their inputs."""
    with torch.device("meta"):
        model = LlamaForCausalLM(tiny_config(layers=len(path)))
    state = {name: tensor for name, tensor in bank.state_dict().items() if ".layers." not in name}
    for position, (layer, _) in enumerate(path):
        prefix = f"model.layers.{layer}."
        for name, tensor in bank.state_dict().items():
            if name.startswith(prefix):
                state[f"model.layers.{position}.{name.removeprefix(prefix)}"] = tensor
    model.load_state_dict(state, assign=True)
    model.tie_weights()
    model.model.rotary_emb = bank.model.rotary_emb
    for layer, key in zip(model.model.layers, path, strict=True):
        layer.layer_key = key
        layer.register_forward_pre_hook(partial(_scaled_in_place if in_place else _scaled, scale=key[1]))
    return model.eval()


def _scaled(_: nn.Module, inputs: tuple[torch.Tensor, ...], *, scale: float) -> tuple[torch.Tensor, ...]:
    return inputs[0] * scale, *inputs[1:]


def _scaled_in_place(_: nn.Module, inputs: tuple[torch.Tensor, ...], *, scale: float) -> None:
    inputs[0].mul_(scale)


class Executions:
    """Counts the layers that models execute, by their feed-forward parts."""

    def __init__(self, models: Sequence[LlamaForCausalLM]) -> None:
        self.count = 0
        for model in models:
            for layer in model.model.layers:
                layer.mlp.register_forward_hook(self._count)

    def _count(self, module: nn.Module, inputs: object, output: object) -> None:
        self.count += 1
