"""The engine: requests tokenised once per campaign, laid out as a trie, and run in the fastest way that is exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import TypeVar

import torch
from torch import nn

from fitness.engine.budget import DEFAULT_BUDGET
from fitness.engine.forward import device_of
from fitness.engine.generation import Generation
from fitness.engine.language_model import Answer, LogLikelihood, Request
from fitness.engine.layout import Layout, Mode
from fitness.engine.memory import Sizes, fitting_sizes
from fitness.engine.packed import PackedLayout
from fitness.engine.probe import exact_mode
from fitness.engine.rows import RowLayout
from fitness.engine.tokenizer import Tokenizer
from fitness.engine.windows import Prompt, Window, tokenise
from fitness.errors import FitnessError

_GPU_MULTIPLE = 64

A = TypeVar("A")


@dataclass(frozen=True)
class PlanStatistics:
    """What a plan runs.

    Attributes:
        mode: how it is run; None before the first model has answered.
        n_requests: requests, equal ones counted once.
        plain_tokens: tokens of all their sequences, each on its own and without padding.
        trie_tokens: nodes of their trie.
        run_tokens: tokens that go through the model, padding included; None before the first model has answered.
    """

    mode: Mode | None
    n_requests: int
    plain_tokens: int
    trie_tokens: int
    run_tokens: int | None


class TrieLanguageModel:
    """Runs requests so that whatever they share is computed once per model; implements `LanguageModel`.

    How exactly and in what sizes is found on the first model of a kind, and kept.

    Args:
        tokenizer: the tokenizer that all models to score share.
        memory: bytes that a forward pass may take above the model's own.
        mode: how to run; None = the fastest that is exact.
        sizes: what a forward pass may hold; None = what is fast and fits in `memory`.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        memory: int = DEFAULT_BUDGET,
        mode: Mode | None = None,
        sizes: Sizes | None = None,
    ) -> None:
        if memory < 2**20:
            raise FitnessError(f"memory: expected at least 1 MiB, found {memory} bytes")
        self.tokenizer = tokenizer
        self._memory = memory
        self._mode = mode
        self._sizes = sizes
        self._modes: dict[str, Mode] = {}
        self._fitting: dict[str, Sizes] = {}

    def plan(self, requests: Sequence[Request], block_ends: Sequence[int] | None = None) -> TriePlan:
        """Tokenise requests and share what is equal (see `LanguageModel.plan`)."""
        return TriePlan(self, requests, block_ends)

    def mode(self, model: nn.Module, windows: Callable[[], Sequence[Window]]) -> Mode:
        """Return how models of this kind are run, found on `windows` where it is not known yet."""
        key = _kind(model)
        if self._mode is None and key not in self._modes:
            self._modes[key] = exact_mode(model, windows())
        return self._mode or self._modes[key]

    def sizes(self, model: nn.Module) -> Sizes:
        """Return what a forward pass of models of this kind may hold."""
        key = _kind(model)
        if key not in self._fitting:
            self._fitting[key] = self._sizes or fitting_sizes(
                model, n_vocabulary=self.tokenizer.n_tokens, budget=self._memory
            )
        return self._fitting[key]

    def shrink(self, model: nn.Module) -> None:
        """Halve the sizes for models of this kind, from now on.

        Raises:
            FitnessError: they cannot be halved any more.
        """
        sizes = self._fitting[_kind(model)]
        if sizes.tokens == sizes.reads == 1:
            raise FitnessError("one token alone does not fit in memory: free some, or use a smaller model")
        self._fitting[_kind(model)] = sizes.halved()


class TriePlan:
    """Requests made ready; implements `Plan`.

    Args:
        engine: who runs it.
        requests: what is asked.
        block_ends: where blocks of requests end, the last at the end; None = one block.
    """

    def __init__(
        self, engine: TrieLanguageModel, requests: Sequence[Request], block_ends: Sequence[int] | None
    ) -> None:
        self._engine = engine
        tokenised = {request: tokenise(request, engine.tokenizer) for request in dict.fromkeys(requests)}
        self._n_requests = len(tokenised)
        self._block_ends = list(block_ends) if block_ends is not None else [len(requests)]
        windows: dict[Window, int] = {}
        prompts: dict[Prompt, int] = {}
        self._sources: list[int | list[int]] = []
        self._windows: list[list[Window]] = []
        self._prompts: list[list[Prompt]] = []
        for start, end in pairwise([0, *self._block_ends]):
            n_windows, n_prompts = len(windows), len(prompts)
            for request in requests[start:end]:
                parts = tokenised[request]
                self._sources.append(
                    prompts.setdefault(parts, len(prompts))
                    if isinstance(parts, Prompt)
                    else [windows.setdefault(window, len(windows)) for window in parts]
                )
            self._windows.append(list(windows)[n_windows:])
            self._prompts.append(list(prompts)[n_prompts:])
        self._layouts: dict[tuple[Mode, Sizes], Layout] = {}
        self._generation = Generation(self._prompts, engine.tokenizer)

    def answer(self, model: nn.Module) -> list[Answer]:
        """Return one answer per request, in their order (see `Plan.answer`)."""
        return [answer for block in self.answer_in_blocks(model) for answer in block]

    def answer_in_blocks(self, model: nn.Module) -> Iterator[list[Answer]]:
        """Yield the answers of each block as soon as they are there (see `Plan.answer_in_blocks`)."""
        model.eval()
        scored = self._in_passes_that_fit(model, self._scores)
        completed = self._in_passes_that_fit(model, self._texts)
        texts: list[str] = []
        scores: list[Answer] = []
        for start, end in pairwise([0, *self._block_ends]):
            scores.extend(next(scored))
            texts.extend(next(completed))
            yield [
                texts[source] if isinstance(source, int) else _joined([scores[i] for i in source])
                for source in self._sources[start:end]
            ]

    @property
    def statistics(self) -> PlanStatistics:
        """What this plan runs for one model, completions aside."""
        windows = [window for block in self._windows for window in block]
        mode, layout = next(((key[0], layout) for key, layout in self._layouts.items()), (None, None))
        packed = PackedLayout([windows], chunk_size=2**30)
        return PlanStatistics(
            mode=mode,
            n_requests=self._n_requests,
            plain_tokens=sum(len(window.inputs) for window in windows),
            trie_tokens=packed.n_nodes,
            run_tokens=None if layout is None else layout.n_tokens,
        )

    def _in_passes_that_fit(
        self, model: nn.Module, attempt: Callable[[nn.Module], Iterator[list[A]]]
    ) -> Iterator[list[A]]:
        """Yield what an attempt yields per block; where memory runs out, go on in smaller passes."""
        n_yielded = 0
        while n_yielded < len(self._block_ends):
            try:
                for answers in islice(attempt(model), n_yielded, None):
                    n_yielded += 1
                    yield answers
                return
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
            # Outside the handler: its traceback would keep the failed pass's tensors alive.
            self._engine.shrink(model)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _texts(self, model: nn.Module) -> Iterator[list[str]]:
        if not any(self._prompts):
            return iter([[] for _ in self._prompts])
        return self._generation.run(model, self._mode(model), self._engine.sizes(model))

    def _scores(self, model: nn.Module) -> Iterator[list[Answer]]:
        """Yield the answers of each block's windows."""
        if not any(self._windows):
            yield from ([] for _ in self._windows)
            return
        layout = self._layout(model)
        reading = layout.readout.start()
        progress = layout.run(model, reading)
        n_run = n_answered = 0
        for block, end in zip(self._windows, layout.block_ends, strict=True):
            while n_run < end:
                n_run = next(progress)
            yield [layout.readout.answer(n_answered + i, reading) for i in range(len(block))]
            n_answered += len(block)

    def _mode(self, model: nn.Module) -> Mode:
        return self._engine.mode(
            model, lambda: [*(window for block in self._windows for window in block), *self._generation.windows()]
        )

    def _layout(self, model: nn.Module) -> Layout:
        mode = self._mode(model)
        sizes = self._engine.sizes(model)
        if (mode, sizes) not in self._layouts:
            multiple = _GPU_MULTIPLE if device_of(model).type == "cuda" else 1
            self._layouts = {(mode, sizes): _lay_out(self._windows, mode, sizes, multiple)}
        return self._layouts[mode, sizes]


def _lay_out(windows: Sequence[Sequence[Window]], mode: Mode, sizes: Sizes, multiple: int) -> Layout:
    if mode == "packed":
        return PackedLayout(windows, chunk_size=min(sizes.tokens, sizes.reads), multiple=multiple)
    return RowLayout(windows, chunk_size=8 * sizes.tokens, most_reads=sizes.reads, share_prefix=mode == "prefix")


def _joined(parts: Sequence[Answer]) -> Answer:
    """Return the answer of a request from its windows'."""
    if len(parts) == 1:
        return parts[0]
    likelihoods = [part for part in parts if isinstance(part, LogLikelihood)]
    return LogLikelihood(sum(part.value for part in likelihoods), all(part.is_greedy for part in likelihoods))


def _kind(model: nn.Module) -> str:
    """Return a name for everything about a model that decides how it is run."""
    parameter = next(model.parameters())
    return f"{type(model).__qualname__} {parameter.device} {parameter.dtype} {getattr(model, 'config', None)!r}"


def _is_out_of_memory(error: RuntimeError) -> bool:
    # The CPU's allocator raises a plain RuntimeError.
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
