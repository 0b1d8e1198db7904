"""Requests as token ids, laid out as one trie: all that an engine needs to know of texts, in a few arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fitness.engine.language_model import Completion, Continuation, NextTokensAlong, Run
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.scoring.readout import Readout
from fitness.engine.scoring.token_trie import TokenTrie, build_trie
from fitness.engine.scoring.windows import Cuts, Prompt, Window, prompt_of, tokenise
from fitness.engine.tokens.read_texts import ReadTexts
from fitness.typing import Ints

_AT_ONCE = 2048  # requests whose texts are tokenised together

ARRAYS = (
    "tokens",
    "depths",
    "parents",
    "ends",
    "spots",
    "targets",
    "windows",
    "requests",
    "prompts",
    "lengths",
    "lost",
)


@dataclass(frozen=True, eq=False)
class RequestTrie:
    """What some requests read; each is windows of the trie (see `Window`), or one prompt.

    The last place of a window is its last token.
    """

    trie: TokenTrie  # of all windows
    spots: Ints  # (n_places,) the node at each place of each window
    targets: Ints  # (n_places,) the token that is predicted there, -1 where the distribution is wanted
    windows: Ints  # (n_windows + 1,) where each window's places begin, and the end
    requests: Ints  # (n_requests + 1,) where each request's windows begin, and the end
    prompts: Ints  # (n_tokens,) of all prompts, one after the other
    lengths: Ints  # (n_requests,) of prompts, 0 where a request is windows
    lost: Ints  # how many tokens each request lost that was longer than the model takes

    def arrays(self) -> dict[str, Ints]:
        """Return everything by name (see `ARRAYS`)."""
        trie = self.trie
        own = (self.spots, self.targets, self.windows, self.requests, self.prompts, self.lengths, self.lost)
        return dict(zip(ARRAYS, (trie.tokens, trie.depths, trie.parents, trie.ends, *own), strict=True))

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Ints]) -> RequestTrie:
        """Return what `arrays` was made of."""
        given = [arrays[name] for name in ARRAYS]
        return cls(TokenTrie(*given[:4]), *given[4:])

    def is_sound(self) -> bool:
        """Say whether the arrays fit together, whoever wrote them: no use of them fails, or never ends."""
        trie, n_nodes, n_places = self.trie, len(self.trie), len(self.spots)
        numbers, is_root = np.arange(n_nodes), self.trie.parents < 0
        one_length = len({len(array) for array in (trie.tokens, trie.depths, trie.parents, trie.ends)}) == 1
        return (
            one_length
            and len(self.targets) == n_places
            and _are_starts(self.windows, n_places, least=1)
            and _are_starts(self.requests, len(self.windows) - 1, least=0)
            and bool((self.lengths >= 0).all() and self.lengths.sum() == len(self.prompts))
            and bool((trie.tokens >= 0).all() and (self.prompts >= 0).all() and (self.targets >= -1).all())
            and bool((trie.parents < numbers).all() and (trie.depths[is_root] == 0).all())
            and bool((trie.depths[~is_root] == trie.depths[trie.parents[~is_root]] + 1).all())
            and bool((trie.ends > numbers).all() and (trie.ends <= n_nodes).all())
            and bool((self.spots >= 0).all() and (self.spots < n_nodes).all())
        )

    @property
    def n_read(self) -> int:
        """How many tokens the requests have, whether they share them or not."""
        leaves = self.leaves(np.arange(len(self.windows) - 1))
        return int((self.trie.depths[leaves] + 1).sum()) + len(self.prompts)

    def leaves(self, windows: Ints) -> Ints:
        """Return the last node of each of some windows."""
        return self.spots[self.windows[windows + 1] - 1]

    def windows_of(self, request: int) -> range:
        """Return a request's windows; none where it is a prompt."""
        return range(int(self.requests[request]), int(self.requests[request + 1]))

    def window_list(self, windows: Ints) -> list[Window]:
        """Return some windows as they were given."""
        leaves = self.leaves(windows)
        found = []
        for window, ids in zip(windows, self.trie.paths(leaves), strict=True):
            places = slice(self.windows[window], self.windows[window + 1])
            targets = self.targets[places].tolist()
            depths = tuple(self.trie.depths[self.spots[places]].tolist())
            found.append(Window(tuple(ids), depths, None if targets[0] < 0 else tuple(targets)))
        return found

    def part(self, windows: Ints) -> tuple[TokenTrie, Readout]:
        """Return the trie of some windows alone, and what is read of its nodes."""
        trie, numbers = self.trie.along(self.leaves(windows))
        starts = self.windows[windows]
        ends = np.cumsum(self.windows[windows + 1] - starts)  # (n_windows,) in what is asked of these alone
        begins = np.concatenate([[0], ends])
        asked = np.arange(begins[-1]) + np.repeat(starts - begins[:-1], np.diff(begins))  # (n_places,)
        return trie, Readout(numbers[self.spots[asked]], self.targets[asked], begins)

    def telling_windows(self, windows: Ints) -> list[Window]:
        """Return those of some windows that tell how models can be run: two that share much, the longest, shortest."""
        if not len(windows):
            return []
        leaves = self.leaves(windows)
        ordered = windows[np.argsort(leaves, kind="stable")]  # as their tokens are
        by_length = ordered[np.argsort(self.trie.depths[self.leaves(ordered)], kind="stable")]
        middle = len(ordered) // 2
        chosen = [*ordered[middle : middle + 2], by_length[0], by_length[-1]]
        return self.window_list(np.array(list(dict.fromkeys(chosen))))

    def prompt(self, request: int, asked: Completion, starts: Ints) -> Prompt:
        """Return a request that is a prompt; `starts` are those of all prompts in `prompts`."""
        start = starts[request]
        return prompt_of(asked, tuple(self.prompts[start : start + self.lengths[request]].tolist()))


def _are_starts(starts: Ints, n: int, *, least: int) -> bool:
    return bool(len(starts) and starts[0] == 0 and starts[-1] == n and (np.diff(starts) >= least).all())


def read_requests(requests: Sequence[Run], tokenizer: Tokenizer) -> RequestTrie:
    """Tokenise different requests, each different text or piece of one once, in batches.

    Raises:
        FitnessError: see `tokenise`.
    """
    cuts, made = Cuts(), _Arrays()
    for parts in _tokenised(requests, tokenizer, cuts):
        made.add(parts)
    return made.joined(cuts)


def _tokenised(requests: Sequence[Run], tokenizer: Tokenizer, cuts: Cuts) -> Iterator[Prompt | list[Window]]:
    texts = ReadTexts(tokenizer.pretrained, tokenizer.special_tokens)
    known = tokenizer.looking_up(texts)
    for start in range(0, len(requests), _AT_ONCE):
        part = requests[start : start + _AT_ONCE]
        texts.read([text for request in part for text in texts_of(request, tokenizer)])
        for request in part:
            yield tokenise(request, known, cuts)


def texts_of(request: Run, tokenizer: Tokenizer) -> list[tuple[str, bool]]:
    """Return what is tokenised of a request: texts, each with whether it gets no special tokens."""
    if isinstance(request, Continuation):
        return tokenizer.texts_of_pair(request.context, request.continuation)
    if isinstance(request, NextTokensAlong):
        return tokenizer.texts_of_pair(request.text, request.continuation)
    return tokenizer.texts_of(request.prompt if isinstance(request, Completion) else request.text)


class _Arrays:
    """A request trie in the making."""

    def __init__(self) -> None:
        self._inputs: list[NDArray[np.int32]] = []
        self._places: list[Ints] = []
        self._targets: list[Ints] = []
        self._n_windows: list[int] = []  # of each request
        self._prompts: list[NDArray[np.int32]] = []  # of each request

    def add(self, parts: Prompt | list[Window]) -> None:
        """Add a request."""
        windows = [] if isinstance(parts, Prompt) else parts
        self._prompts.append(np.array(parts.ids if isinstance(parts, Prompt) else (), dtype=np.int32))
        self._n_windows.append(len(windows))
        for window in windows:
            self._inputs.append(np.array(window.inputs, dtype=np.int32))
            self._places.append(np.array(window.places, dtype=np.int64))
            n = len(window.places)
            self._targets.append(np.array(window.targets or [-1] * n, dtype=np.int64))

    def joined(self, cuts: Cuts) -> RequestTrie:
        """Return all of it."""
        trie, nodes = build_trie(self._inputs, self._places)
        nothing = np.empty(0, dtype=np.int64)
        return RequestTrie(
            trie,
            spots=np.concatenate([nothing, *nodes]),
            targets=np.concatenate([nothing, *self._targets]),
            windows=np.cumsum([0, *map(len, nodes)]),
            requests=np.cumsum([0, *self._n_windows]),
            prompts=np.concatenate([nothing, *self._prompts]),
            lengths=np.array([len(ids) for ids in self._prompts], dtype=np.int64),
            lost=np.array(cuts.lost, dtype=np.int64),
        )
