"""What a checkpoint's tokenizer files say, read without loading a tokenizer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_spaces.errors import SpaceError, in_brief
from search_spaces.parents.checkpoint_files import read_json

CHAT_TEMPLATE = "chat_template.jinja"
SPECIAL_TOKENS = ("bos", "eos", "pad", "unk")
_MOST_ID = 2**24  # a hundred times the largest vocabularies
_SENTENCEPIECE = ("tokenizer.model", "spiece.model")


@dataclass(frozen=True)
class TokenizerFiles:
    """The parts of a tokenizer that parents must share."""

    ids: Mapping[str, int] | None  # token -> id, added tokens included; None when no file lists them as text
    rules: str  # a digest of all that turns text into tokens besides `ids` (merges, normaliser, ...); "" when unknown
    special: Mapping[str, str | None]  # bos, eos, pad, unk -> token; None when not set
    chat_template: str  # a digest of it; "" when there is none


def read_tokenizer(directory: Path) -> TokenizerFiles:
    """Read a checkpoint's tokenizer files; missing ones give empty fields.

    Raises:
        SpaceError: a file is not what a tokenizer's should be.
    """
    with _as_space_errors(directory):
        return _read(directory)


@contextmanager
def _as_space_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except SpaceError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError, OSError) as error:
        reason = f"{type(error).__name__}: {in_brief(error)}"
        raise SpaceError(
            f"{directory}: expected the files of a tokenizer, found some that cannot be read ({reason}); download them "
            "again"
        ) from error


def _read(directory: Path) -> TokenizerFiles:
    settings = _optional_json(directory / "tokenizer_config.json")
    named = {**_optional_json(directory / "special_tokens_map.json"), **settings}
    text = chat_template(directory)
    ids, rules = _vocabulary(directory)
    for token, number in (ids or {}).items():
        if type(number) is not int or not 0 <= number <= _MOST_ID:
            raise ValueError(f"expected a number from 0 to {_MOST_ID:,} for {token[:40]!r}, found {str(number)[:40]}")
    return TokenizerFiles(
        ids=ids,
        rules=rules,
        special={kind: _token(named.get(f"{kind}_token")) for kind in SPECIAL_TOKENS},
        chat_template=_digest(text) if text else "",
    )


def chat_template(directory: Path) -> str | None:
    """Return a checkpoint's chat template, the default one if it has several; None if it has none."""
    with _as_space_errors(directory):
        file = directory / CHAT_TEMPLATE
        found = file.read_text(encoding="utf-8") if file.is_file() else None
        found = _optional_json(directory / "tokenizer_config.json").get("chat_template") if found is None else found
        if isinstance(found, list):
            found = {entry["name"]: entry["template"] for entry in found}.get("default")
    return None if found is None else str(found)


def _vocabulary(directory: Path) -> tuple[dict[str, int] | None, str]:
    data = _optional_json(directory / "tokenizer.json")
    if data:
        model = dict(data.get("model", {}))
        vocabulary = model.pop("vocab", {})
        if isinstance(vocabulary, list):  # unigram: (token, score) in order of id; the scores are rules
            model["scores"] = [score for _, score in vocabulary]
            vocabulary = {token: i for i, (token, _) in enumerate(vocabulary)}
        added = {token["content"]: token["id"] for token in data.get("added_tokens") or []}
        rules = [model, data.get("normalizer"), data.get("pre_tokenizer")]
        return {**vocabulary, **added}, _digest(rules)
    ids = _optional_json(directory / "vocab.json")
    if ids:
        merges = directory / "merges.txt"
        return {**ids, **_optional_json(directory / "added_tokens.json")}, _digest(
            merges.read_text(encoding="utf-8") if merges.is_file() else ""
        )
    binary = next((directory / name for name in _SENTENCEPIECE if (directory / name).is_file()), None)
    return None, "" if binary is None else hashlib.sha256(binary.read_bytes()).hexdigest()[:8]


def _optional_json(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _token(value: Any) -> str | None:
    content = value.get("content") if isinstance(value, dict) else value
    return None if content is None else str(content)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]
