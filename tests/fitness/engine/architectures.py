"""Tiny models of every architecture the engine is checked on, and tokenizers trained on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

CONTEXT = 64  # tokens that the models take at once, where their architecture has a limit
WINDOW = 8  # sliding windows are shorter than the prompts

_LLAMA_SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
}
_GPT_NEOX_SHAPE = {k: v for k, v in _LLAMA_SHAPE.items() if k != "num_key_value_heads"}

CONFIGS: dict[str, Callable[..., Any]] = {
    "llama": lambda **c: transformers.LlamaConfig(**_LLAMA_SHAPE, **c),
    "qwen2": lambda **c: transformers.Qwen2Config(**_LLAMA_SHAPE, **c),
    "qwen3": lambda **c: transformers.Qwen3Config(**_LLAMA_SHAPE, head_dim=8, **c),
    "mistral": lambda **c: transformers.MistralConfig(**_LLAMA_SHAPE, sliding_window=WINDOW, **c),
    "gemma2": lambda **c: transformers.Gemma2Config(
        **_LLAMA_SHAPE,
        head_dim=8,
        sliding_window=WINDOW,
        query_pre_attn_scalar=8,
        attn_logit_softcapping=5.0,
        final_logit_softcapping=4.0,
        **c,
    ),
    "gemma3": lambda **c: transformers.Gemma3TextConfig(
        **_LLAMA_SHAPE,
        head_dim=8,
        sliding_window=WINDOW,
        query_pre_attn_scalar=8,
        layer_types=["sliding_attention", "full_attention"],
        **c,
    ),
    "phi3": lambda **c: transformers.Phi3Config(**_LLAMA_SHAPE, original_max_position_embeddings=CONTEXT, **c),
    "gpt_neox": lambda **c: transformers.GPTNeoXConfig(**_GPT_NEOX_SHAPE, **c),
    "gpt2": lambda **c: transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=CONTEXT, **c),
    "bloom": lambda **c: transformers.BloomConfig(hidden_size=32, n_layer=2, n_head=4, **c),
    "opt": lambda **c: transformers.OPTConfig(
        hidden_size=32,
        ffn_dim=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        word_embed_proj_dim=32,
        max_position_embeddings=CONTEXT,
        **c,
    ),
    "mixtral": lambda **c: transformers.MixtralConfig(
        **_LLAMA_SHAPE, num_local_experts=4, num_experts_per_tok=2, sliding_window=None, **c
    ),
    "mamba": lambda **c: transformers.MambaConfig(hidden_size=32, state_size=4, num_hidden_layers=2, **c),
}


def tiny_model(architecture: str, tokenizer: Any) -> torch.nn.Module:
    """Return a random model whose predictions are sharp: no two likely tokens nearly tie."""
    config = CONFIGS[architecture](
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2 and not name.endswith(("A_log", "conv1d.weight")):
                parameter.normal_(0.0, 1.5 / parameter.shape[-1] ** 0.5, generator=generator)
    return model


CORPUS = """\
The quick brown fox jumps over the lazy dog, and the dog sleeps. What is the capital of France? Paris is the capital.
Question: how many sheep are there? Answer: there are seven sheep, and one of them is black. Überraschung! ça va? naïve
日本語のテキスト、漢字かな。 Привет, мир! emoji: 🙂🙃👩‍🚀 café cafe\u0301
"""


def byte_level_tokenizer(*, special: tuple[str, ...] = ("<pad>", "<s>", "</s>"), adds_bos: bool = False) -> Any:
    """Return a fast byte-level BPE tokenizer of some 300 tokens.

    Args:
        special: which of `<pad>`, `<s>`, `</s>` it has.
        adds_bos: whether it starts every text with `<s>` unasked.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        [CORPUS] * 4,
        trainers.BpeTrainer(
            vocab_size=310,
            special_tokens=list(special),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing("<s> $A", None, [("<s>", special.index("<s>"))])
    names = {"<pad>": "pad_token", "<s>": "bos_token", "</s>": "eos_token"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **{names[text]: text for text in special})


class SlowTokenizer(transformers.PreTrainedTokenizer):  # type: ignore[misc]
    """A slow (pure Python) tokenizer: one token per byte, `<s>` and `</s>` before them."""

    vocab_files_names: dict[str, str] = {}  # noqa: RUF012  # transformers' name and type
    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__(bos_token="<s>", eos_token="</s>")

    @property
    def vocab_size(self) -> int:
        return 256

    def get_vocab(self) -> dict[str, int]:
        return {chr(i): i for i in range(256)} | self.added_tokens_encoder

    def _tokenize(self, text: str, **_: Any) -> list[str]:
        return [chr(byte) for byte in text.encode()]

    def _convert_token_to_id(self, token: str) -> int:
        return ord(token)

    def _convert_id_to_token(self, index: int) -> str:
        return chr(index)

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return b"".join(t.encode("latin-1") for t in tokens).decode(errors="replace")

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        return ()


def save(model: torch.nn.Module, tokenizer: Any, directory: Path) -> Path:
    """Write a checkpoint."""
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory
