"""The engine: requests tokenised once per campaign, laid out as a trie, and run in the fastest way that is exact."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from torch import nn

from fitness.engine.generation.decoding import Written
from fitness.engine.generation.packed_generation import PackedCompletions
from fitness.engine.generation.padded_generation import padded_completions
from fitness.engine.generation.prompt_trie import PromptTrie
from fitness.engine.language_model import Answer, Completion, LogLikelihood, Request, run_for
from fitness.engine.model.forward import device_of, kind_of
from fitness.engine.model.memory import Sizes, free_memory, is_out_of_memory
from fitness.engine.model.text_model import forget_images
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.scoring.layer_trie import LayeredModel, LayerTrie, layered
from fitness.engine.scoring.packed import PackedLayout
from fitness.engine.scoring.probe import Sizing
from fitness.engine.scoring.readout import PACKED, Layout, Mode
from fitness.engine.scoring.rows import RowLayout
from fitness.engine.scoring.shared_run import LayerCounts, SharedRun
from fitness.engine.scoring.windows import Prompt
from fitness.engine.served import ServedModel, completions_by, log_likelihoods_by
from fitness.engine.token_count import TokenTally
from fitness.engine.tokens.request_store import KnownRequests, RequestStore
from fitness.errors import FitnessError

_GPU_MULTIPLE = 64

log = logging.getLogger(__name__)

A = TypeVar("A")


class TrieLanguageModel:
    """Runs requests so that whatever they share is computed once per model; implements `LanguageModel`.

    How exactly and in what sizes is found on the first model of a kind, and kept.

    >>> from fitness import Continuation, TrieLanguageModel, load_tokenizer
    >>> from transformers import AutoModelForCausalLM
    >>> plan = TrieLanguageModel(load_tokenizer("base")).plan([Continuation("one", c) for c in (" two", " dog")])
    >>> two, dog = plan.answer(AutoModelForCausalLM.from_pretrained("words"))
    >>> two.value < 0
    True

    Args:
        tokenizer: the tokenizer that all models to score share.
        memory: bytes that a forward pass may take above the model's own; None = 4 GiB on a CPU, what is free on a GPU.
        mode: how to run; None = the fastest that is exact.
        sizes: what a forward pass may hold; None = what is fast and fits in `memory`.
        tokens: a directory where token ids of many requests are kept for other processes; None = they are not kept.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        memory: int | None = None,
        mode: Mode | None = None,
        sizes: Sizes | None = None,
        tokens: Path | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.sizing = Sizing(tokenizer.n_tokens, memory, mode, sizes)
        self._requests = RequestStore(tokenizer, tokens)
        self.tally = TokenTally()

    def plan(self, requests: Sequence[Request]) -> TriePlan:
        """Tokenise requests that are new, and share what is equal (see `LanguageModel.plan`)."""
        return TriePlan(self, requests, self._requests.of(tuple(map(run_for, requests))))


class TriePlan:
    """Requests made ready; implements `Plan`."""

    def __init__(self, engine: TrieLanguageModel, requests: Sequence[Request], read: KnownRequests) -> None:
        self._tokenizer, self._sizing, self._tally = engine.tokenizer, engine.sizing, engine.tally
        self._requests = tuple(requests)
        self._read = read.trie
        windows: dict[int, int] = {}
        prompts: dict[Prompt, int] = {}
        # Per request, the place of its prompt among all different prompts, or of each of its windows among all windows.
        self._sources: list[int | list[int]] = []
        for request in requests:
            run = run_for(request)
            self._sources.append(
                prompts.setdefault(read.prompt(run), len(prompts))
                if isinstance(run, Completion)
                else [windows.setdefault(window, len(windows)) for window in read.windows(run)]
            )
        self._windows, self._prompts = np.array(list(windows), dtype=np.int64), list(prompts)
        self._layouts: dict[tuple[Mode, Sizes], Layout] = {}
        self.layers = LayerCounts()  # executions by models that have answered together

    def answer(self, model: nn.Module) -> list[Answer]:
        """Return one answer per request, in their order (see `Plan.answer`)."""
        if isinstance(model, ServedModel):
            return self._answers_of_served(model)
        forget_images(model.eval())
        return self._combined(self._scores_alone(model), self._sizing.in_passes_that_fit(model, self._written))

    def _answers_of_served(self, model: ServedModel) -> list[Answer]:
        written = self._counted(
            completions_by(model.server, self._prompts, self._tokenizer), sum(len(p.ids) for p in self._prompts)
        )
        if not len(self._windows) or model.plain is None:
            windows = self._read.window_list(self._windows)
            self._tally.add(prompt=sum(len(window.inputs) for window in windows))
            return self._combined(log_likelihoods_by(model.server, windows), written)
        plain = model.plain()
        forget_images(plain.eval())
        return self._combined(self._scores_alone(plain), written)

    def answer_together(self, models: Sequence[nn.Module]) -> list[list[Answer] | FitnessError]:
        """Return each model's answers, or what is wrong with it (see `Plan.answer_together`)."""
        answers: list[list[Answer] | FitnessError] = []
        for model, scores in zip(models, self._scores_together(models), strict=True):
            if isinstance(scores, FitnessError):
                answers.append(scores)
                continue
            written = _or_error(lambda m: self._sizing.in_passes_that_fit(m, self._written), model)
            answers.append(written if isinstance(written, FitnessError) else self._combined(scores, written))
        return answers

    def _combined(self, scores: Sequence[Answer], written: Sequence[Written]) -> list[Answer]:
        return [
            written[source].answer(request) if isinstance(source, int) else _joined([scores[i] for i in source])
            for request, source in zip(self._requests, self._sources, strict=True)
        ]

    def _scores_together(self, models: Sequence[nn.Module]) -> list[list[Answer] | FitnessError]:
        """Return the answers of all windows by each model; those that can share layers do."""
        scores: dict[int, list[Answer] | FitnessError] = {}
        sharing: dict[str, dict[int, LayeredModel]] = {}
        for place, model in enumerate(models):
            forget_images(model.eval())
            found = layered(model)
            if found is not None and len(self._windows) and self._is_packed(model):
                sharing.setdefault(kind_of(model), {})[place] = found
        for group in sharing.values():
            scores.update(zip(group, self._scores_of_kind(list(group.values())), strict=True))
        return [scores[i] if i in scores else _or_error(self._scores_alone, m) for i, m in enumerate(models)]

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
                answered = answered or [_or_error(self._scores_alone, models[waiting[0]].model)]
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
            if not is_out_of_memory(error) and not self._sizing.gives_up_flex(models[0].model, error):
                raise
        else:
            self.layers += run.layers
            answers = run.answers()
            # A token that several models run in common counts by its layers.
            share = run.layers.run / max(1, run.layers.asked)
            self._tally.add(prompt=round(layout.n_tokens * len(answers) * share))
            log.info("%d models together: %d of %d layers executed", len(answers), run.layers.run, run.layers.asked)
            return answers
        del run
        free_memory()
        return []

    def _scores_alone(self, model: nn.Module) -> list[Answer]:
        return self._sizing.in_passes_that_fit(model, self._scores)

    def _is_packed(self, model: nn.Module) -> bool:
        try:
            return self._mode(model) in PACKED
        except FitnessError:  # run alone, it says so again
            return False

    def _written(self, model: nn.Module) -> list[Written]:
        if not self._prompts:
            return []
        if self._mode(model) in PACKED:
            sizes = self._sizing.sizes(model)
            written = PackedCompletions(model, self._prompt_trie, sizes, self._tokenizer).written()
            # The last token of a prompt is run as the first of its completion.
            return self._counted(written, len(self._prompt_trie.trie) + len(self._prompts))
        written = padded_completions(model, self._prompts, self._sizing.sizes(model), self._tokenizer)
        return self._counted(written, sum(len(prompt.ids) for prompt in self._prompts))

    def _counted(self, written: list[Written], n_prompt: int) -> list[Written]:
        self._tally.add(prompt=n_prompt, generated=sum(one.n_tokens for one in written))
        return written

    @cached_property
    def _prompt_trie(self) -> PromptTrie:
        return PromptTrie(self._prompts)

    def _scores(self, model: nn.Module) -> list[Answer]:
        if not len(self._windows):
            return []
        layout = self._layout(model)
        reading = layout.readout.start()
        layout.run(model, reading)
        self._tally.add(prompt=layout.n_tokens)
        return [layout.readout.answer(window, reading) for window in range(len(self._windows))]

    def _mode(self, model: nn.Module) -> Mode:
        return self._sizing.mode(
            model,
            lambda: [*self._read.telling_windows(self._windows), *map(Prompt.as_long_as_completed, self._prompts)],
        )

    def _layout(self, model: nn.Module) -> Layout:
        mode, sizes = self._mode(model), self._sizing.sizes(model)
        if (mode, sizes) not in self._layouts:
            multiple = _GPU_MULTIPLE if device_of(model).type == "cuda" else 1
            self._layouts = {(mode, sizes): self._laid_out(mode, sizes, multiple)}
        return self._layouts[mode, sizes]

    def _laid_out(self, mode: Mode, sizes: Sizes, multiple: int) -> Layout:
        if mode in PACKED:
            return PackedLayout(
                *self._read.part(self._windows),
                chunk_size=sizes.tokens,
                most_reads=sizes.reads,
                multiple=multiple,
                flex=mode == "flex",
            )
        return RowLayout(
            self._read.window_list(self._windows),
            chunk_size=8 * sizes.tokens,
            most_reads=sizes.reads,
            share_prefix=mode == "prefix",
        )


def _or_error(attempt: Callable[[nn.Module], A], model: nn.Module) -> A | FitnessError:
    try:
        return attempt(model)
    except FitnessError as error:
        return error


def _joined(parts: Sequence[Answer]) -> Answer:
    if len(parts) == 1:
        return parts[0]
    likelihoods = [part for part in parts if isinstance(part, LogLikelihood)]
    return LogLikelihood(sum(part.value for part in likelihoods), all(part.is_greedy for part in likelihoods))
