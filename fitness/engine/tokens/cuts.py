"""Where a text can be cut so that its pieces have the tokens that the text has.

A tokenizer looks up words; which stretches of a text are words says its pre-tokenizer. Where that is one of those
below, no word reaches from a line break over the letter that follows it, and what stands before the letter is cut into
words as it would be before any other letter: the pre-tokenizers' expressions have letters and line breaks together in
no alternative, look behind in none, and look ahead only for whether something other than space follows.
"""

from __future__ import annotations

import json
import re
from typing import Any

LETTER = "a"  # stands for any that follows a piece

_BREAK = re.compile(r"\n(?=[A-Za-z])")

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = {  # GPT-4, Llama 3, SmolLM3; Qwen 2 and 3; the same with contractions spelt out
    f"{contractions}|[^\\r\\n\\p{{L}}\\p{{N}}]?\\p{{L}}+|{digits}{_REST}"
    for contractions in (_CONTRACTIONS, "'(?i:[sdmt]|ll|ve|re)")
    for digits in (r"\p{N}", r"\p{N}{1,3}")
}


def pieces(text: str) -> list[str]:
    """Return the pieces of a text: before each letter that follows a line break, which ends all pieces but the last.

    That line break is left out.
    """
    return _BREAK.split(text)


def can_be_cut(pretrained: Any) -> bool:
    """Say whether a transformers tokenizer is known to give the same tokens when texts are cut into `pieces`."""
    if not getattr(pretrained, "is_fast", False) or getattr(pretrained, "split_special_tokens", False):
        return False
    backend = pretrained.backend_tokenizer
    contents = [token.content for token in pretrained.added_tokens_decoder.values()]
    return (
        type(backend.model).__name__ == "BPE"
        and not getattr(backend.model, "dropout", None)
        and all(part["type"] == "NFC" for part in _parts(backend.normalizer, "normalizers"))
        and _finds_words(_parts(backend.pre_tokenizer, "pretokenizers"))
        and all(
            part["type"] in ("ByteLevel", "TemplateProcessing") for part in _parts(backend.post_processor, "processors")
        )
        # Added tokens are found before words are.
        and not any(re.match("[A-Za-z]", content) or _BREAK.search(content) for content in contents)
    )


def _finds_words(parts: list[dict[str, Any]]) -> bool:
    splits = [part for part in parts if part["type"] == "Split"]
    levels = [part for part in parts if part["type"] == "ByteLevel"]
    return (
        bool(levels)
        and all(part["type"] in ("Split", "ByteLevel", "Digits") for part in parts)
        and not any(part["add_prefix_space"] for part in levels)
        and all(
            part["pattern"].get("Regex") in _WORDS and part["behavior"] == "Isolated" and not part["invert"]
            for part in splits
        )
        and (bool(splits) or any(part["use_regex"] for part in levels))
    )


def _parts(component: Any, of_sequence: str) -> list[dict[str, Any]]:
    """Return what a component of a tokenizer consists of, in its own words."""
    if component is None:
        return []
    said = json.loads(component.__getstate__())
    return list(said[of_sequence]) if said["type"] == "Sequence" else [said]
