"""Token ids of many texts at once: each different text or piece of one is tokenised once, in batches."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from fitness.engine.tokens.cuts import LETTER, can_be_cut, pieces

_TRIED = 16  # texts that are read in both ways before pieces are believed
_BATCH = 4096

log = logging.getLogger(__name__)

Ids = list[int]


class ReadTexts:
    """What a transformers tokenizer makes of texts, those read before; equal to `encode` text by text.

    Args:
        pretrained: the tokenizer.
        special: arguments of `encode` for texts that get special tokens.
    """

    def __init__(self, pretrained: Any, special: dict[str, bool]) -> None:
        self._pretrained, self._special = pretrained, special
        self._frame = _frame(pretrained, special) if can_be_cut(pretrained) else None
        self._inside: dict[str, Ids] = {}  # pieces that a line break and a letter follow, with the line break
        self._last: dict[str, Ids] = {}
        self._whole: dict[tuple[str, bool], Ids] = {}
        self._is_tried = False

    def read(self, texts: Iterable[tuple[str, bool]]) -> None:
        """Tokenise texts, each with whether it is plain: without special tokens."""
        asked = list(dict.fromkeys(texts))
        if self._frame is not None:
            self._read_pieces([text for text, _ in asked])
            self._try(asked[:: max(1, len(asked) // _TRIED)])
        if self._frame is None:
            self._whole = {}  # of the texts before
            for plain in (True, False):
                chosen = [text for text, is_plain in asked if is_plain == plain]
                self._whole.update(((text, plain), ids) for text, ids in self._read_all(chosen, plain))

    def __call__(self, text: str, plain: bool) -> Ids:
        """Return a text's ids."""
        if self._frame is None:
            known = self._whole.get((text, plain))
            return self._alone(text, plain) if known is None else known
        *inside, last = pieces(text)
        try:
            body = list(chain(*[self._inside[piece] for piece in inside], self._last[last]))
        except KeyError:
            return self._alone(text, plain)
        return body if plain else [*self._frame[0], *body, *self._frame[1]]

    def _alone(self, text: str, plain: bool) -> Ids:
        return list(self._pretrained.encode(text, **({"add_special_tokens": False} if plain else self._special)))

    def _read_pieces(self, texts: Sequence[str]) -> None:
        inside: dict[str, None] = {}
        last: dict[str, None] = {}
        for text in texts:
            *before, end = pieces(text)
            inside.update(dict.fromkeys(before))
            last[end] = None
        new = [piece for piece in inside if piece not in self._inside]
        self._last.update(self._read_all([piece for piece in last if piece not in self._last], plain=True))
        mark = self._alone(LETTER, plain=True)
        for piece, ids in zip(new, self._read_all([f"{piece}\n{LETTER}" for piece in new], plain=True), strict=True):
            if ids[1][-len(mark) :] != mark:
                self._frame = None
            self._inside[piece] = ids[1][: -len(mark)]

    def _read_all(self, texts: Sequence[str], plain: bool) -> Iterable[tuple[str, Ids]]:
        special = {"add_special_tokens": False} if plain else self._special
        for start in range(0, len(texts), _BATCH):
            batch = list(texts[start : start + _BATCH])
            yield from zip(batch, self._pretrained(batch, **special)["input_ids"], strict=True)

    def _try(self, texts: Sequence[tuple[str, bool]]) -> None:
        """Read some texts in both ways, once; pieces are not used where they differ."""
        if self._is_tried or self._frame is None:
            return
        self._is_tried = bool(texts)
        if any(self(text, plain) != self._alone(text, plain) for text, plain in texts):
            log.info("texts are tokenised whole: pieces of them have other tokens")
            self._frame = None


def _frame(pretrained: Any, special: dict[str, bool]) -> tuple[Ids, Ids] | None:
    """Return the special tokens that stand before and after every text; None where that is not what they do."""
    whole, body = pretrained.encode(LETTER, **special), pretrained.encode(LETTER, add_special_tokens=False)
    for start in range(len(whole) - len(body) + 1):
        if body and whole[start : start + len(body)] == body:
            return whole[:start], whole[start + len(body) :]
    return None
