"""What single tokens write."""

from __future__ import annotations

from typing import Any

_PART = "\ufffd"  # stands for a part of a character
# Characters of one byte that decoders write wherever they stand; spaces at a text's beginning some do not.
_ALWAYS_WRITTEN = frozenset(map(chr, range(0x21, 0x7F))) | {"\n"}


class WrittenTokens:
    """What each token of a transformers tokenizer writes alone, looked at once."""

    def __init__(self, pretrained: Any) -> None:
        self._pretrained = pretrained
        self._rewrites = bool(getattr(pretrained, "clean_up_tokenization_spaces", False))
        self._written: dict[int, str] = {}

    def may_end(self, token: int, characters: frozenset[str]) -> bool:
        """Say whether a text that ends in one of these characters may be complete only with this token.

        False is certain: then none of them is in what the token writes, whatever stands before it.
        """
        if self._rewrites or not characters <= _ALWAYS_WRITTEN:
            return True
        if token not in self._written:
            self._written[token] = str(self._pretrained.decode([token], skip_special_tokens=False))
        written = self._written[token]
        return _PART in written or not characters.isdisjoint(written)
