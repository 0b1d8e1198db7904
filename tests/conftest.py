"""Tiny real models, made on the spot: one base and experts fine-tuned (here: perturbed) from it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

# On a busy machine an example takes as long as it takes.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789 .,:?=+-"


@dataclass(frozen=True)
class Family:
    """A base and its experts, as directories."""

    base: Path
    experts: dict[str, Path]

    @property
    def parents(self) -> dict[str, Path]:
        return {"base": self.base, **self.experts}


def save_tokenizer(directory: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: i for i, token in enumerate(["<pad>", "<s>", "</s>", "<unk>", *CHARACTERS, "\n"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    ).save_pretrained(directory)


def tiny_config(*, layers: int = 2, hidden: int = 32, tied: bool = True, **overrides: object):
    from transformers import LlamaConfig

    return LlamaConfig(
        **{
            "vocab_size": 4 + len(CHARACTERS) + 1,
            "hidden_size": hidden,
            "intermediate_size": hidden * 2,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 128,
            "tie_word_embeddings": tied,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 0,
            **overrides,
        }
    )


def save_model(directory: Path, model: torch.nn.Module) -> Path:
    model.save_pretrained(directory)
    save_tokenizer(directory)
    return directory


def make_family(
    root: Path, names: tuple[str, ...] = ("alpha", "beta"), *, scale: float = 0.02, **config: object
) -> Family:
    """Save a base and one expert per name, each the base plus noise of standard deviation `scale`."""
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    base = LlamaForCausalLM(tiny_config(**config))
    experts = {}
    for seed, name in enumerate(names, start=1):
        generator = torch.Generator().manual_seed(seed)
        expert = LlamaForCausalLM(base.config)
        expert.load_state_dict(base.state_dict())
        with torch.no_grad():
            for parameter in expert.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * scale)
        experts[name] = save_model(root / name, expert)
    return Family(save_model(root / "base", base), experts)


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    """A base and two experts: 2-layer tied Llamas, float32, with a character tokenizer. Read-only."""
    return make_family(tmp_path_factory.mktemp("family"))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVOMERGE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("EVOMERGE_STATE", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Each test begins with one: a campaign in this process takes all cores, and two tests then wait for each other."""
    torch.set_num_threads(1)
