"""The same model for a tokenizer whose tokens have other numbers, and some more."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from tests.search_spaces.architectures.models import stirred
from tests.search_spaces.architectures.tiny import TOKENS

ADDED = 3
# Token -> its number in the other tokenizer; the special ones keep theirs.
MOVED = {token: 3 + (token * 13) % 80 if 3 <= token < 83 else token for token in range(TOKENS)}


def save_tokens(directory: Path, numbers: dict[int, int], added: int = 0) -> None:
    """Save a tokenizer of token -> number and further tokens after them."""
    known = {f"t{token}": number for token, number in numbers.items()}
    known |= {f"new{i}": TOKENS + i for i in range(added)}
    Tokenizer(WordLevel(known, unk_token="t3")).save(str(directory / "tokenizer.json"))


def renumbered(model: Any) -> Any:
    """Return a model that computes from the moved numbers what the given one does from the plain ones.

    Every parameter that a larger vocabulary makes longer has a row for each token.
    """
    config = copy.deepcopy(model.config)
    for level in (config, *(getattr(config, key) for key in config.sub_configs)):
        for key in () if level is None else level.to_dict():
            if "vocab_size" in key and getattr(level, key) == TOKENS:
                setattr(level, key, TOKENS + ADDED)
    longer = stirred(type(model)(config))
    of = torch.tensor(sorted(MOVED, key=MOVED.__getitem__))  # number -> token
    own = model.state_dict()
    with torch.no_grad():
        for name, value in longer.state_dict().items():
            axis = next((i for i, n in enumerate(value.shape) if n != own[name].shape[i]), None)
            if axis is None:
                value.copy_(own[name])
            else:
                value.movedim(axis, 0)[:TOKENS] = own[name].movedim(axis, 0)[of]
    return longer
