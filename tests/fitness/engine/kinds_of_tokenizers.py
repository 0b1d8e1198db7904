"""Small tokenizers of the kinds that models have, trained on a few lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

LINES = """Question: What's the capital of the old country?
A. a city by the river\n B. 12 cities, 345 rivers
Answer: the city\n\nQuestion: They've said 'tis so; don't we'll?
(naïve café, Straße, 東京)\r\n\tAnswer:  none\n\n\n- of   these...\n"""
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = LLAMA_3.replace("{1,3}", "")
SPECIAL = ["<unk>", "<s>", "</s>"]


def _fast(tokenizer: Tokenizer, trainer: Any) -> PreTrainedTokenizerFast:
    tokenizer.train_from_iterator([LINES] * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        clean_up_tokenization_spaces=False,
    )


def _bytes(
    pre_tokenizer: Any, *, normalizer: Any = None, template: str = "", more: tuple[str, ...] = ()
) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizer, decoders.ByteLevel()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if template:
        tokenizer.post_processor = processors.TemplateProcessing(template, None, [("<s>", 1), ("</s>", 2)])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made = _fast(
        tokenizer,
        trainers.BpeTrainer(vocab_size=340, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False),
    )
    made.add_tokens(list(more))
    return made


def _split(expression: str) -> Any:
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(expression), "isolated"), level])


def _gpt2() -> PreTrainedTokenizerFast:
    return _bytes(pre_tokenizers.ByteLevel(add_prefix_space=False))


def _smollm() -> PreTrainedTokenizerFast:
    digits = pre_tokenizers.Digits(individual_digits=True)
    return _bytes(pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)]))


def _llama_3() -> PreTrainedTokenizerFast:
    return _bytes(_split(LLAMA_3), template="<s> $A")


def _qwen() -> PreTrainedTokenizerFast:
    return _bytes(_split(QWEN), normalizer=normalizers.NFC())


def _with_end() -> PreTrainedTokenizerFast:
    return _bytes(_split(LLAMA_3), template="<s> $A </s>")


def _with_added_words() -> PreTrainedTokenizerFast:
    """Added tokens are found before words are: this one can follow a line break."""
    return _bytes(_split(LLAMA_3), more=("Answer", "\nB"))


def _with_prefix_space() -> PreTrainedTokenizerFast:
    return _bytes(pre_tokenizers.ByteLevel(add_prefix_space=True))


def _of_other_words() -> PreTrainedTokenizerFast:
    """Words reach over line breaks."""
    return _bytes(_split(r"\s*\S+|\s+"))


def _llama_2() -> PreTrainedTokenizerFast:
    """No words at all, as in SentencePiece's BPE: pairs are joined over spaces and line breaks."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", None, [("<s>", 1)])
    alphabet = [f"<0x{byte:02X}>" for byte in range(256)]
    return _fast(tokenizer, trainers.BpeTrainer(vocab_size=500, special_tokens=SPECIAL + alphabet, show_progress=False))


def _t5() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", None, [("</s>", 2)])
    return _fast(
        tokenizer,
        trainers.UnigramTrainer(vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False),
    )


KINDS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "gpt2": _gpt2,
    "smollm": _smollm,
    "llama_3": _llama_3,
    "qwen": _qwen,
    "with_end": _with_end,
    "with_added_words": _with_added_words,
    "with_prefix_space": _with_prefix_space,
    "of_other_words": _of_other_words,
    "llama_2": _llama_2,
    "t5": _t5,
}
CUT = ("gpt2", "smollm", "llama_3", "qwen", "with_end")  # kinds whose texts are tokenised in pieces
