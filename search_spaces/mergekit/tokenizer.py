"""mergekit's keys on the output's tokenizer: tokenizer_source, tokenizer, chat_template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from search_spaces.errors import SpaceError
from search_spaces.mergekit.keys import mapping
from search_spaces.recipe import TOKENIZER_SOURCES, OutputTokenizer

# mergekit knows some templates by name; this one is everybody's (OpenAI's ChatML).
_CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def read_tokenizer(top: Mapping[str, Any], parent_named: Callable[[object, str], str]) -> OutputTokenizer:
    """Return what a configuration says on the tokenizer.

    Args:
        top: the file's top level.
        parent_named: (reference, key) -> the name of a parent.

    Raises:
        SpaceError: both tokenizer keys are given, or one cannot be honoured; the message names it.
    """
    source, multiple = top.get("tokenizer_source"), 1
    key = "tokenizer_source"
    if top.get("tokenizer") is not None:
        if source is not None:
            raise SpaceError("tokenizer_source, tokenizer: expected at most one of the two keys")
        data = mapping(top["tokenizer"], "tokenizer", ("source", "pad_to_multiple_of", "tokens"))
        if data.get("tokens"):
            raise SpaceError(
                "tokenizer.tokens: expected nothing: rows of single tokens cannot be chosen here; every token takes "
                "the base's row, else the mean of the models that have it"
            )
        key, source, multiple = "tokenizer.source", data.get("source", "union"), data.get("pad_to_multiple_of") or 1
    if source is not None and source not in TOKENIZER_SOURCES:
        source = parent_named(source.removeprefix("model:") if isinstance(source, str) else source, key)
    return OutputTokenizer(source, multiple, _chat_template(top.get("chat_template")))


def tokenizer_keys(tokenizer: OutputTokenizer, reference: Callable[[str], str]) -> dict[str, Any]:
    """Return mergekit's keys for a tokenizer.

    Args:
        tokenizer: the output's.
        reference: parent -> how mergekit writes the model.
    """
    source = tokenizer.source
    if source is not None and source not in TOKENIZER_SOURCES:
        source = reference(source)
    keys: dict[str, Any] = {}
    if source is not None and tokenizer.multiple_of > 1:
        keys["tokenizer"] = {"source": source, "pad_to_multiple_of": tokenizer.multiple_of}
    elif source is not None:
        keys["tokenizer_source"] = source
    return keys | ({"chat_template": tokenizer.chat_template} if tokenizer.chat_template else {})


def _chat_template(value: object) -> str | None:
    if value is None or value == "auto":
        return value
    if value == "chatml":
        return _CHATML
    if not isinstance(value, str) or "{" not in value:
        raise SpaceError(f"chat_template: expected auto, chatml or the text of a Jinja template, found {value!r}")
    return value
