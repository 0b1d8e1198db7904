"""mergekit's keys for the tokenizer and its chat template, both ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from search_spaces.errors import SpaceError
from search_spaces.mergekit.remarks import Remarks
from search_spaces.recipes.recipe import TOKENIZER_SOURCES, OutputTokenizer

# mergekit knows some templates by name; these formats are OpenAI's, Meta's, Mistral's, Stanford's and LG's.
_TEMPLATES = {
    "chatml": (
        "{% for message in messages %}"
        "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "llama3": (
        "{{ bos_token }}{% for message in messages %}"
        "{{ '<|start_header_id|>' ~ message['role'] ~ '<|end_header_id|>\n\n' }}"
        "{{ (message['content'] | trim) ~ '<|eot_id|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
    ),
    "mistral": (
        "{{ bos_token }}{% set first = namespace(text='') %}{% for message in messages %}"
        "{% if message['role'] == 'system' %}{% set first.text = message['content'] ~ '\n\n' %}"
        "{% elif message['role'] == 'user' %}{{ ' [INST] ' ~ first.text ~ message['content'] ~ ' [/INST]' }}"
        "{% set first.text = '' %}{% else %}{{ ' ' ~ message['content'] ~ eos_token }}{% endif %}{% endfor %}"
    ),
    "alpaca": (
        "{% for message in messages %}{% if message['role'] == 'user' %}{{ '### Instruction:\n' }}"
        "{% elif message['role'] == 'assistant' %}{{ '### Response:\n' }}{% endif %}"
        "{{ (message['content'] | trim) ~ '\n\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '### Response:\n' }}{% endif %}"
    ),
    "exaone": (
        "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
        "{{ '[|system|][|endofturn|]\n' }}{% endif %}{{ '[|' ~ message['role'] ~ '|]' ~ message['content'] }}"
        "{{ '\n' if message['role'] == 'user' else '[|endofturn|]\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '[|assistant|]' }}{% endif %}"
    ),
}


def read_tokenizer(
    top: Mapping[str, Any], parent_named: Callable[[object, str], str], remarks: Remarks
) -> OutputTokenizer:
    """Return what a file's top level says on the tokenizer; `parent_named` maps (reference, key) to a parent."""
    source, multiple = top.get("tokenizer_source"), 1
    key = "tokenizer_source"
    if top.get("tokenizer") is not None:
        if source is not None:
            raise SpaceError("tokenizer_source, tokenizer: expected at most one of the two keys")
        data = remarks.mapping(top["tokenizer"], "tokenizer", ("source", "pad_to_multiple_of", "tokens"))
        if data.get("tokens"):
            raise SpaceError(
                "tokenizer.tokens: expected nothing: rows of single tokens cannot be chosen here; every token takes "
                "the base's row, else the mean of the models that have it"
            )
        key, source, multiple = (
            "tokenizer.source",
            data.get("source") or "union",
            _whole(data.get("pad_to_multiple_of")),
        )
    if source is not None and source not in TOKENIZER_SOURCES:
        source = parent_named(source.removeprefix("model:") if isinstance(source, str) else source, key)
    return OutputTokenizer(source, multiple, _chat_template(top.get("chat_template")))


def tokenizer_keys(tokenizer: OutputTokenizer, reference: Callable[[str], str]) -> dict[str, Any]:
    """Return mergekit's keys for a tokenizer, given parent -> how mergekit writes the model."""
    source = tokenizer.source
    if source is not None and source not in TOKENIZER_SOURCES:
        source = reference(source)
    keys: dict[str, Any] = {}
    if source is not None and tokenizer.multiple_of > 1:
        keys["tokenizer"] = {"source": source, "pad_to_multiple_of": tokenizer.multiple_of}
    elif source is not None:
        keys["tokenizer_source"] = source
    return keys | ({"chat_template": tokenizer.chat_template} if tokenizer.chat_template else {})


def _whole(value: object) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value or 1


def _chat_template(value: object) -> str | None:
    if not value:
        return None
    if value == "auto":
        return "auto"
    if isinstance(value, str) and value in _TEMPLATES:
        return _TEMPLATES[value]
    if not isinstance(value, str) or "{" not in value:
        names = ", ".join(("auto", *_TEMPLATES))
        raise SpaceError(f"chat_template: expected {names} or the text of a Jinja template, found {value!r}")
    return value
