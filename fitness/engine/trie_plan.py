"""Requests made ready for the engine: which windows and prompts they need, laid out, run, and put together again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from typing import TypeVar

from torch import nn

from fitness.engine.generation.generation import Generation
from fitness.engine.language_model import Answer, LogLikelihood, Request
from fitness.engine.model.forward import device_of, kind_of
from fitness.engine.model.memory import Sizes, free_memory, is_out_of_memory
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.scoring.layer_trie import LayeredModel, LayerTrie, layered
from fitness.engine.scoring.layout import Layout, Mode
from fitness.engine.scoring.packed import PackedLayout
from fitness.engine.scoring.rows import RowLayout
from fitness.engine.scoring.shared_run import LayerCounts, PlanStatistics, SharedRun
from fitness.engine.scoring.sizing import Sizing
from fitness.engine.scoring.windows import Prompt, Window, tokenise
from fitness.errors import FitnessError

_GPU_MULTIPLE = 64

log = logging.getLogger(__name__)

A = TypeVar("A")


class TriePlan:
    """Requests made ready; implements `Plan`.

    Args:
        tokenizer: of the models.
        sizing: how they are run, and in what sizes.
        requests: what is asked.
        block_ends: where blocks of requests end, the last at the end; None = one block.
    """

    def __init__(
        self, tokenizer: Tokenizer, sizing: Sizing, requests: Sequence[Request], block_ends: Sequence[int] | None
    ) -> None:
        self._sizing = sizing
        tokenised = {request: tokenise(request, tokenizer) for request in dict.fromkeys(requests)}
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
        self._generation = Generation(self._prompts, tokenizer)
        self._layers = LayerCounts()

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
            yield self._combined(scores, texts, start, end)

    def answer_together(self, models: Sequence[nn.Module]) -> list[list[Answer] | FitnessError]:
        """Return each model's answers, or what is wrong with it (see `Plan.answer_together`)."""
        scores = self._scores_together(models)
        return [self._completed(model, each) for model, each in zip(models, scores, strict=True)]

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
            layers=self._layers,
        )

    def _combined(self, scores: Sequence[Answer], texts: Sequence[str], start: int, end: int) -> list[Answer]:
        """Return the answers of requests from those of their windows and prompts."""
        return [
            texts[source] if isinstance(source, int) else _joined([scores[i] for i in source])
            for source in self._sources[start:end]
        ]

    def _completed(self, model: nn.Module, scores: list[Answer] | FitnessError) -> list[Answer] | FitnessError:
        """Return the answers of all requests, once the windows have theirs."""
        if isinstance(scores, FitnessError):
            return scores
        texts = _all_or_error(self._in_passes_that_fit(model, self._texts))
        return texts if isinstance(texts, FitnessError) else self._combined(scores, texts, 0, len(self._sources))

    def _scores_together(self, models: Sequence[nn.Module]) -> list[list[Answer] | FitnessError]:
        """Return the answers of all windows by each model; those that can share layers do."""
        scores: dict[int, list[Answer] | FitnessError] = {}
        sharing: dict[str, dict[int, LayeredModel]] = {}
        for place, model in enumerate(models):
            model.eval()
            found = layered(model)
            if found is not None and any(self._windows) and self._is_packed(model):
                sharing.setdefault(kind_of(model), {})[place] = found
        for group in sharing.values():
            scores.update(zip(group, self._scores_of_kind(list(group.values())), strict=True))
        return [scores[i] if i in scores else self._scores_alone(model) for i, model in enumerate(models)]

    def _scores_of_kind(self, models: Sequence[LayeredModel]) -> list[list[Answer] | FitnessError]:
        """Return the answers of all windows by each model, in as many runs as memory takes."""
        scores: dict[int, list[Answer] | FitnessError] = {}
        waiting = LayerTrie(models).order
        size = len(waiting)
        while waiting:
            answered = self._scores_of_group([models[place] for place in waiting[:size]])
            if not answered and size > 1:
                size //= 2
            else:  # One that does not fit alone is run in smaller passes.
                answered = answered or [self._scores_alone(models[waiting[0]].model)]
                scores.update(zip(waiting, answered, strict=False))
                waiting = waiting[len(answered) :]
        return [scores[place] for place in range(len(models))]

    def _scores_of_group(self, models: Sequence[LayeredModel]) -> list[list[Answer] | FitnessError]:
        """Return the answers by the first models, as many as memory takes."""
        layout = self._layout(models[0].model)
        assert isinstance(layout, PackedLayout)
        run = SharedRun(layout, models, memory=self._sizing.sizes(models[0].model).kept)
        try:
            run.run()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        else:
            self._layers += run.layers
            answers = run.answers()
            log.info("%d models together: %d of %d layers executed", len(answers), run.layers.run, run.layers.asked)
            return answers
        del run
        free_memory()
        return []

    def _scores_alone(self, model: nn.Module) -> list[Answer] | FitnessError:
        return _all_or_error(self._in_passes_that_fit(model, self._scores))

    def _is_packed(self, model: nn.Module) -> bool:
        try:
            return self._mode(model) == "packed"
        except FitnessError:  # run alone, it says so again
            return False

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
                if not is_out_of_memory(error):
                    raise
            # Outside the handler: its traceback would keep the failed pass's tensors alive.
            self._sizing.shrink(model)
            free_memory()

    def _texts(self, model: nn.Module) -> Iterator[list[str]]:
        if not any(self._prompts):
            return iter([[] for _ in self._prompts])
        return self._generation.run(model, self._mode(model), self._sizing.sizes(model))

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
        return self._sizing.mode(
            model, lambda: [*(window for block in self._windows for window in block), *self._generation.windows()]
        )

    def _layout(self, model: nn.Module) -> Layout:
        mode = self._mode(model)
        sizes = self._sizing.sizes(model)
        if (mode, sizes) not in self._layouts:
            multiple = _GPU_MULTIPLE if device_of(model).type == "cuda" else 1
            self._layouts = {(mode, sizes): _lay_out(self._windows, mode, sizes, multiple)}
        return self._layouts[mode, sizes]


def _lay_out(windows: Sequence[Sequence[Window]], mode: Mode, sizes: Sizes, multiple: int) -> Layout:
    if mode == "packed":
        return PackedLayout(windows, chunk_size=min(sizes.tokens, sizes.reads), multiple=multiple)
    return RowLayout(windows, chunk_size=8 * sizes.tokens, most_reads=sizes.reads, share_prefix=mode == "prefix")


def _all_or_error(blocks: Iterator[list[A]]) -> list[A] | FitnessError:
    try:
        return [answer for block in blocks for answer in block]
    except FitnessError as error:
        return error


def _joined(parts: Sequence[Answer]) -> Answer:
    """Return the answer of a request from its windows'."""
    if len(parts) == 1:
        return parts[0]
    likelihoods = [part for part in parts if isinstance(part, LogLikelihood)]
    return LogLikelihood(sum(part.value for part in likelihoods), all(part.is_greedy for part in likelihoods))
