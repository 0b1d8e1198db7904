"""The tokenizer, with lm-eval's rules for what is context and what is continuation; the only importer of transformers.

The rules are those of `lm_eval.api.model.TemplateLM` and `lm_eval.models.huggingface.HFLM` (0.4.13), so that scores are
the ones people compare with.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from fitness.engine.model.text_model import text_settings
from fitness.engine.model.written import WrittenTokens
from fitness.errors import FitnessError, in_brief

_DEFAULT_MAX_LENGTH = 2048  # lm-eval's, for models that name no limit
_UNLIMITED = 10**18  # tokenizers without a limit say int(1e30)


class Tokenizer:
    """Text to token ids and back.

    Args:
        tokenizer: transformers', fast or slow.
        max_length: tokens that the model takes at once.
        end_ids: tokens that end a completion.
        add_bos_token: whether texts get the special tokens that the tokenizer adds; None: as it does unasked.
        prefix_id: the token that stands before an empty context; None: begin of text, else end of text.
        decoder_start: what the decoder of an encoder-decoder begins with: its first token, and before completions one
            more where the model is told to write it first; empty for models that only decode.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        max_length: int,
        end_ids: frozenset[int],
        add_bos_token: bool | None = None,
        prefix_id: int | None = None,
        decoder_start: tuple[int, ...] = (),
    ) -> None:
        self.pretrained = tokenizer
        self.max_length = max_length
        self.end_ids = end_ids
        self.n_tokens = len(tokenizer)
        self.decoder_start = decoder_start
        self.given_prefix_id = prefix_id
        self.written = WrittenTokens(tokenizer)
        self._ids: Callable[[str, bool], list[int]] = self._read  # text, whether without special tokens -> its ids
        # Arguments of transformers' `encode` for texts that get special tokens.
        self.special_tokens = {} if add_bos_token is None else {"add_special_tokens": add_bos_token}

    @property
    def prefix_id(self) -> int:
        """The token that stands before an empty context."""
        for token_id in (self.given_prefix_id, self.pretrained.bos_token_id, self.pretrained.eos_token_id):
            if token_id is not None:
                return int(token_id)
        raise FitnessError(
            "tokenizer: expected a bos_token or an eos_token to stand before empty contexts, found neither"
        )

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, with the special tokens that the tokenizer itself adds, but never two BOS."""
        return self._ids(text, self._starts_with_prefix(text))

    def encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Return the ids of context and continuation, tokenised as one text; those of an encoder-decoder as two.

        Spaces at the context's end belong to the continuation. An empty context becomes `prefix_id`.
        """
        stripped = context.rstrip()
        if self.decoder_start:
            spaces = context[len(stripped) :]
            written = self._ids(spaces + continuation, True)
            pair = self.encode(stripped) if stripped else [self.prefix_id], written
        elif stripped == "":
            pair = self._encode_without_context(context + continuation)
        else:
            whole = self.encode(context + continuation)
            prefix = self.encode(stripped)
            pair = prefix, whole[len(prefix) :]
        if not pair[0] or not pair[1]:
            raise FitnessError(
                f"continuation {continuation!r} after {context[-40:]!r}: expected at least one token, found none"
            )
        return pair

    def texts_of(self, text: str) -> list[tuple[str, bool]]:
        """Return what `encode` tokenises: one text, and whether it gets no special tokens."""
        return [(text, self._starts_with_prefix(text))]

    def texts_of_pair(self, context: str, continuation: str) -> list[tuple[str, bool]]:
        """Return what `encode_pair` tokenises, as in `texts_of`."""
        stripped = context.rstrip()
        if self.decoder_start:
            return [*self.texts_of(stripped), (context[len(stripped) :] + continuation, True)]
        if stripped == "":
            return [(context + continuation, True)]
        return [*self.texts_of(context + continuation), *self.texts_of(stripped)]

    def looking_up(self, ids: Callable[[str, bool], list[int]]) -> Tokenizer:
        """Return this tokenizer with ids from elsewhere, equal to its own: of a text, with or without special tokens.

        See `ReadTexts`.
        """
        other = copy.copy(self)
        other._ids = ids
        return other

    def decode(self, ids: Sequence[int], *, special_tokens: bool = False) -> str:
        """Return the text of token ids, special tokens left out unless asked for."""
        return str(self.pretrained.decode(ids, skip_special_tokens=not special_tokens))

    def _encode_without_context(self, continuation: str) -> tuple[list[int], list[int]]:
        ids = self._ids(continuation, True)
        if ids and ids[0] == self.prefix_id:
            return ids[:1], ids[1:]
        return [self.prefix_id], ids

    def _starts_with_prefix(self, text: str) -> bool:
        return self._prefix is not None and text.startswith(self._prefix)

    @cached_property
    def _prefix(self) -> str | None:
        known = (self.given_prefix_id, self.pretrained.bos_token_id, self.pretrained.eos_token_id)
        return None if known == (None, None, None) else str(self.pretrained.decode(self.prefix_id))

    def _read(self, text: str, plain: bool) -> list[int]:
        special = {"add_special_tokens": False} if plain else self.special_tokens
        return list(self.pretrained.encode(text, **special))


def load_tokenizer(directory: str | Path, *, max_length: int | None = None) -> Tokenizer:
    """Load a checkpoint's tokenizer, with the length limit and end tokens that its configuration names.

    Args:
        directory: a checkpoint directory (or hub id) with a tokenizer and a config.json.
        max_length: tokens that the model takes at once; by default as config.json says, else the tokenizer, else 2048.

    Raises:
        FitnessError: there is no readable tokenizer or configuration.
    """
    from transformers import AutoConfig, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
        config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
    except Exception as error:  # whatever several libraries make of its files
        raise FitnessError(
            f"{directory}: expected a checkpoint with a tokenizer, found: {why_not_loaded(error)}"
        ) from error
    if isinstance(tokenizer.model_max_length, bool) or not isinstance(tokenizer.model_max_length, int | float):
        found = repr(tokenizer.model_max_length)[:60]
        raise FitnessError(f"{directory}: model_max_length: expected a number in tokenizer_config.json, found {found}")
    _check_reads(tokenizer, directory)
    return tokenizer_for(config, tokenizer, _generation_config(directory), max_length=max_length)


def _check_reads(tokenizer: Any, directory: str | Path) -> None:
    """Refuse a tokenizer that fails on a word: what tokenizer.json says fits together is not seen when it is loaded."""
    try:
        tokenizer("word")
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # panics of tokenizers, which is written in Rust, are no Exceptions
        raise FitnessError(
            f"{directory}: expected a tokenizer that reads text, found one that fails ({in_brief(error)}); download "
            "tokenizer.json again"
        ) from error


def _generation_config(directory: str | Path) -> Any:
    """Return a checkpoint's settings of generation; None where it has none, as a base model need not have any."""
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(directory)
    except OSError:
        return None
    except Exception as error:  # whatever transformers makes of it
        raise FitnessError(
            f"{directory}: expected settings in generation_config.json, found what cannot be read ({in_brief(error)})"
        ) from error


def why_not_loaded(error: Exception) -> str:
    """Return the reason why transformers loads nothing; its advice to trust a checkpoint's code is no way out here."""
    if "trust_remote_code" in str(error):
        return (
            "one that needs code of its own (auto_map in its JSON files), which evomerge never runs; "
            "save it with a class that transformers has"
        )
    return in_brief(error)


def tokenizer_for(
    config: Any,
    tokenizer: Any,
    generation_config: Any = None,
    *,
    max_length: int | None = None,
    add_bos_token: bool | None = None,
    prefix_id: int | None = None,
) -> Tokenizer:
    """Return the tokenizer of a model with this configuration (None where it has none; see `Tokenizer` for the rest).

    The configuration says the length limit, else the tokenizer, else 2048; the generation configuration names further
    tokens that end a completion.
    """
    return Tokenizer(
        tokenizer,
        max_length=max_length or _max_length(config, tokenizer),
        end_ids=_ids(tokenizer.eos_token_id) | _ids(getattr(generation_config, "eos_token_id", None)),
        add_bos_token=add_bos_token,
        prefix_id=prefix_id,
        decoder_start=_decoder_start(config, tokenizer, generation_config),
    )


def _decoder_start(config: Any, tokenizer: Any, generation_config: Any) -> tuple[int, ...]:
    if not getattr(config, "is_encoder_decoder", False):
        return ()
    said = [getattr(place, "decoder_start_token_id", None) for place in (config, generation_config)]
    start = next((token for token in (*said, tokenizer.bos_token_id) if token is not None), None)
    if start is None:
        raise FitnessError("config.json: expected a decoder_start_token_id of an encoder-decoder, found none")
    forced = getattr(generation_config, "forced_bos_token_id", None)
    return (start,) if forced is None else (start, forced)


def _ids(value: int | Sequence[int] | None) -> frozenset[int]:
    ids = [] if value is None else value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(token, int) for token in ids):
        raise FitnessError(f"eos_token_id: expected numbers of tokens, found {str(value)[:60]!r}; mend the JSON files")
    return frozenset(ids)


def _max_length(config: Any, tokenizer: Any) -> int:
    text_config = text_settings(config)
    for attribute in ("n_positions", "max_position_embeddings", "n_ctx"):
        value = getattr(text_config, attribute, None)
        if value is not None:
            return int(value)
    if tokenizer.model_max_length < _UNLIMITED:
        return int(tokenizer.model_max_length)
    return _DEFAULT_MAX_LENGTH
