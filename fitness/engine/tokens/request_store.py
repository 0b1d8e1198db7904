"""The requests that an engine has read: whatever is asked again, in any selection and order, is not tokenised again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from fitness.engine.language_model import Completion, Run
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.scoring.windows import Cuts, Prompt
from fitness.engine.tokens.request_trie import RequestTrie
from fitness.engine.tokens.token_files import TokenFiles
from fitness.typing import Ints

_MOST = 16  # sets of requests that are kept: the splits of a campaign, and what else was asked last


@dataclass(frozen=True, eq=False)
class KnownRequests:
    """Requests that were read together."""

    trie: RequestTrie
    numbers: dict[Run, int]

    def windows(self, request: Run) -> range:
        """Return a request's windows in the trie."""
        return self.trie.windows_of(self.numbers[request])

    def prompt(self, request: Completion) -> Prompt:
        """Return a request that is a prompt."""
        return self.trie.prompt(self.numbers[request], request, self._starts)

    @cached_property
    def _starts(self) -> Ints:
        return np.concatenate([[0], np.cumsum(self.trie.lengths)])


class RequestStore:
    """Reads requests with one tokenizer; `directory` is that of `TokenFiles`."""

    def __init__(self, tokenizer: Tokenizer, directory: Path | None) -> None:
        self._tokenizer = tokenizer
        self._directory = directory
        self._known: list[KnownRequests] = []  # what was asked last stands last
        self._cuts = Cuts()

    def of(self, requests: Iterable[Run]) -> KnownRequests:
        """Return requests among those that were read with them.

        Raises:
            FitnessError: see `tokenise`.
        """
        run = dict.fromkeys(requests)
        for place, known in enumerate(self._known):
            if run.keys() <= known.numbers.keys():
                self._known.append(self._known.pop(place))
                return known
        trie = self._files.request_trie(tuple(run))
        self._cuts.lost.extend(trie.lost.tolist())
        self._cuts.tell(len(run), self._tokenizer.max_length)
        self._known.append(KnownRequests(trie, {request: number for number, request in enumerate(run)}))
        del self._known[:-_MOST]
        return self._known[-1]

    @cached_property
    def _files(self) -> TokenFiles:
        return TokenFiles(self._tokenizer, self._directory)
