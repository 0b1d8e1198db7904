"""Token ids of requests as files: made once, and read by every process that asks the same of the same tokenizer."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fitness.engine.language_model import Completion, Continuation, NextTokens, NextTokensAlong, Run
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.tokens.request_trie import ARRAYS, RequestTrie, read_requests
from fitness.typing import Ints

_FORMAT = 1  # counted up with what is in a file, or how texts become ids
_WORTH = 200_000  # tokens that were read: about a second

log = logging.getLogger(__name__)


class TokenFiles:
    """The files of one tokenizer; each is memory-mapped, so that the processes of a machine share it.

    What cannot be written or read is made again: a file is never needed.

    Args:
        tokenizer: whose ids they are.
        directory: where they lie; None: nowhere, everything is made by each process.
        worth: the fewest tokens, as many as were read, that are written.
    """

    def __init__(self, tokenizer: Tokenizer, directory: Path | None, *, worth: int = _WORTH) -> None:
        self._tokenizer, self._worth = tokenizer, worth
        self._name = "" if directory is None else tokenizer_digest(tokenizer)
        self._directory = directory if self._name else None

    def request_trie(self, requests: Sequence[Run]) -> RequestTrie:
        """Return what different requests read, from a file where there is one.

        Raises:
            FitnessError: see `tokenise`.
        """
        if self._directory is None:
            return read_requests(requests, self._tokenizer)
        file = self._directory / f"{requests_digest(requests, self._name)}.safetensors"
        known = opened(file, len(requests))
        if known is not None:
            return known
        made = read_requests(requests, self._tokenizer)
        if made.n_read >= self._worth:
            try:
                write(file, made)
            except OSError as error:
                log.info("token ids are not kept: %s", error)
        return made


def tokenizer_digest(tokenizer: Tokenizer) -> str:
    """Return hex digits that name all that decides a tokenizer's ids; empty where that is not known."""
    import tokenizers
    import transformers

    pretrained = tokenizer.pretrained
    if not getattr(pretrained, "is_fast", False):
        return ""
    said = (
        _FORMAT,
        transformers.__version__,
        tokenizers.__version__,
        type(pretrained).__qualname__,
        getattr(pretrained, "split_special_tokens", False),
        pretrained.bos_token_id,
        pretrained.eos_token_id,
        tokenizer.max_length,
        tokenizer.special_tokens,
        tokenizer.given_prefix_id,
        tokenizer.decoder_start,
    )
    digest = hashlib.blake2b(repr(said).encode(), digest_size=16)
    digest.update(pretrained.backend_tokenizer.to_str().encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def requests_digest(requests: Sequence[Run], tokenizer: str) -> str:
    """Return hex digits that name what requests read with a tokenizer."""
    digest = hashlib.blake2b(tokenizer.encode(), digest_size=16)
    for request in requests:
        digest.update(repr(_numbers(request)).encode())
        for text in _texts(request):
            digest.update(_text_digest(text))
    return digest.hexdigest()


def _texts(request: Run) -> tuple[str, ...]:
    match request:
        case Continuation(context, continuation):
            return context, continuation
        case NextTokensAlong(text, continuation):
            return text, continuation
        case Completion(prompt):
            return (prompt,)
    return (request.text,)


def _numbers(request: Run) -> tuple[Any, ...]:
    """Return what beside texts decides a request's tokens."""
    if isinstance(request, Completion):
        return "completion", request.max_new_tokens
    return type(request).__name__, request.n_positions if isinstance(request, NextTokens) else 0


@lru_cache(maxsize=64)  # the choices of an item have one context
def _text_digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def write(file: Path, made: RequestTrie) -> None:
    """Write a request trie; no reader ever sees a part of it."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array, dtype=np.int64) for name, array in made.arrays().items()}
    content = save(arrays, metadata={"blake2b": _digest_of(arrays)})
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".tokens-", delete=False) as partial:
        try:
            partial.write(content)
            partial.flush()
            os.fsync(partial.fileno())
            os.chmod(partial.name, 0o644)
            os.replace(partial.name, file)
        except BaseException:
            Path(partial.name).unlink(missing_ok=True)
            raise


def opened(file: Path, n_requests: int) -> RequestTrie | None:
    """Return what was written, memory-mapped; None where there is no file, or what it holds is not what was written."""
    try:
        whole = np.memmap(file, dtype=np.uint8, mode="r")
        n_header = int(whole[:8].view("<u8")[0])
        header = json.loads(whole[8 : 8 + n_header].tobytes())
        data = whole[8 + n_header :]
        arrays = {name: _array(data, header[name]) for name in ARRAYS}
        found = RequestTrie.of_arrays(arrays)
        is_whole = header["__metadata__"]["blake2b"] == _digest_of(arrays)
        if is_whole and len(found.requests) == len(found.lengths) + 1 == n_requests + 1 and found.is_sound():
            return found
        log.info("%s: token ids are damaged, and made again", file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        log.info("%s: token ids cannot be read, and are made again: %s", file, error)
    return None


def _array(data: NDArray[np.uint8], entry: dict[str, Any]) -> Ints:
    start, stop = entry["data_offsets"]
    if entry["dtype"] != "I64":
        raise ValueError(f"expected numbers of 64 bits, found {entry['dtype']}")
    found: Ints = np.asarray(data[start:stop]).view("<i8")
    return found


def _digest_of(arrays: dict[str, Ints]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in ARRAYS:
        digest.update(arrays[name].tobytes() if not arrays[name].flags.c_contiguous else arrays[name].data)
    return digest.hexdigest()
