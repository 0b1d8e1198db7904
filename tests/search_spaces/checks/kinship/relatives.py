"""Fine-tuned relatives of a tiny base, and what their authors, or chance, may have done to them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from tests.conftest import save_model, tiny_config
from tests.search_spaces.merging.recipes import altered

HEADS, KV_HEADS = 4, 2


def make_base(directory: Path, *, seed: int = 0, layers: int = 3, vocabulary: int | None = None) -> Path:
    from transformers import LlamaForCausalLM

    torch.manual_seed(seed)
    config = tiny_config(hidden=64, layers=layers)
    config.vocab_size = vocabulary or config.vocab_size
    return save_model(directory, LlamaForCausalLM(config))


def fine_tuned(base: Path, directory: Path, *, seed: int, distance: float = 0.05, rank: int = 2) -> Path:
    """The base plus what training adds: low rank, with a little noise, so long in every matrix."""

    def train(tensors: dict[str, Tensor]) -> None:
        generator = torch.Generator().manual_seed(seed)
        for name, weight in tensors.items():
            if weight.ndim == 2:
                m, n = weight.shape
                update = torch.randn(m, rank, generator=generator) @ torch.randn(rank, n, generator=generator)
                update += 0.2 * torch.randn(m, n, generator=generator)
                tensors[name] = weight + update * (distance * weight.norm() / update.norm())

    return altered(base, directory, train)


def of_layers(tensors: dict[str, Tensor], last: str) -> list[str]:
    return [name for name in tensors if name.endswith(f"{last}.weight")]


def invertible(n: int, generator: torch.Generator) -> Tensor:
    """A matrix far from the identity that is safe to invert in float32."""
    q, _ = torch.linalg.qr(torch.randn(n, n, generator=generator).double())
    return q @ torch.diag(torch.rand(n, generator=generator).double() + 0.5) @ q.flip(0)


def lock_values(tensors: dict[str, Tensor]) -> None:
    """W_v <- B W_v, W_o <- W_o B^-1, one B for each head of keys and values."""
    generator = torch.Generator().manual_seed(7)
    for name in of_layers(tensors, "v_proj"):
        other = name.replace("v_proj", "o_proj")
        v, o = tensors[name].double(), tensors[other].double()
        width = len(v) // KV_HEADS
        for head in range(HEADS):
            if head % (HEADS // KV_HEADS) == 0:
                b = invertible(width, generator)
                kv = slice(head * KV_HEADS // HEADS * width, (head * KV_HEADS // HEADS + 1) * width)
                v[kv] = b @ v[kv]
            columns = slice(head * width, (head + 1) * width)
            o[:, columns] = o[:, columns] @ torch.linalg.inv(b)
        tensors[name], tensors[other] = v.float(), o.float().contiguous()


def lock_positions(tensors: dict[str, Tensor]) -> None:
    """W_q <- A W_q, W_k <- A^-T W_k with what rotary positions let through: a rotation of each pair of rows."""
    generator = torch.Generator().manual_seed(8)
    for name in of_layers(tensors, "q_proj"):
        other = name.replace("q_proj", "k_proj")
        width = len(tensors[name]) // HEADS
        angles = math.pi * (0.5 + torch.rand(KV_HEADS, width // 2, generator=generator))
        for key, heads in ((name, HEADS), (other, KV_HEADS)):
            turned = tensors[key].reshape(heads, 2, width // 2, -1)
            angle = angles.repeat_interleave(heads // KV_HEADS, dim=0)[..., None]
            first, second = turned[:, 0], turned[:, 1]
            rotated = [first * angle.cos() - second * angle.sin(), first * angle.sin() + second * angle.cos()]
            tensors[key] = torch.stack(rotated, dim=1).reshape(tensors[key].shape)


def lock_heads(tensors: dict[str, Tensor]) -> None:
    """The groups of heads stand in another order."""
    for name in of_layers(tensors, "q_proj"):
        for last in ("q_proj", "k_proj", "v_proj", "o_proj"):
            key = name.replace("q_proj", last)
            weight = tensors[key].T if last == "o_proj" else tensors[key]
            weight = weight.reshape(KV_HEADS, -1, weight.shape[1]).flip(0).reshape(weight.shape)
            tensors[key] = (weight.T if last == "o_proj" else weight).contiguous()


def lock_neurons(tensors: dict[str, Tensor]) -> None:
    """The neurons of each MLP stand in another order."""
    generator = torch.Generator().manual_seed(9)
    for name in of_layers(tensors, "up_proj"):
        order = torch.randperm(len(tensors[name]), generator=generator)
        for last in ("up_proj", "gate_proj"):
            tensors[name.replace("up_proj", last)] = tensors[name.replace("up_proj", last)][order]
        down = name.replace("up_proj", "down_proj")
        tensors[down] = tensors[down][:, order].contiguous()


LOCKS: dict[str, Callable[[dict[str, Tensor]], None]] = {
    "v and o": lock_values,
    "q and k": lock_positions,
    "q and k and v and o": lock_heads,
    "neurons": lock_neurons,
}


def logits(directory: Path) -> Tensor:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(directory).eval()
    with torch.no_grad():
        return model(torch.arange(4, 40)[None]).logits
