"""A base and two fine-tunes in the shapes of known models, of random weights, with a tokenizer of words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from experiments.benchmarks.random_model import random_weights

NAMES = ("base", "first", "second")


@dataclass(frozen=True)
class Size:
    """A model's shape, and how much it is asked."""

    hidden: int
    between: int
    layers: int
    heads: int
    shared: int  # heads of keys and values
    vocabulary: int
    items: int
    header: int  # tokens
    prompts: int
    written: int  # tokens of each


SIZES: Mapping[str, Size] = {
    "8b": Size(4096, 14336, 32, 32, 8, 128256, items=500, header=900, prompts=256, written=128),
    "1b": Size(2048, 8192, 16, 32, 8, 128256, items=500, header=900, prompts=256, written=128),
    "tiny": Size(64, 128, 2, 4, 2, 512, items=6, header=30, prompts=4, written=8),
}
_WORDS = 400  # that texts are made of


def words(n: int, *, seed: int) -> str:
    """Return n random words."""
    return " ".join(f"w{number}" for number in np.random.default_rng(seed).integers(0, _WORDS, n))


def write_models(directory: Path, size: str, device: torch.device) -> dict[str, Path]:
    """Write the models, drawn on a device, where they do not lie yet; return name -> directory."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = SIZES[size]
    config = LlamaConfig(
        hidden_size=shape.hidden,
        intermediate_size=shape.between,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.shared,
        vocab_size=shape.vocabulary,
        max_position_embeddings=4096,
    )
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in LlamaForCausalLM(config).state_dict().items()}
    places = {}
    for number, name in enumerate(NAMES):
        places[name] = directory / name
        if not (places[name] / "model.safetensors").exists():
            places[name].mkdir(parents=True, exist_ok=True)
            weights = {key: _drawn(of, place, number, device) for place, (key, of) in enumerate(shapes.items())}
            save_file(weights, places[name] / "model.safetensors", {"format": "pt"})
            said = {**config.to_dict(), "architectures": ["LlamaForCausalLM"], "torch_dtype": "bfloat16"}
            (places[name] / "config.json").write_text(json.dumps(said), encoding="utf-8")
            _write_tokenizer(places[name], shape.vocabulary)
    return places


def _drawn(shape: tuple[int, ...], place: int, model: int, device: torch.device) -> Tensor:
    weights = random_weights(shape, place, model, device)
    return (weights + (len(shape) == 1)).cpu()  # the weights of norms are near 1


def _write_tokenizer(directory: Path, n: int) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    known = ["<s>", "</s>", "<unk>", *(f"w{number}" for number in range(n - 3))]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(known)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(directory)
