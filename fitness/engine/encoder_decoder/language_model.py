"""The engine of encoder-decoders: plain batches, each prompt of a batch read once."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from torch import nn

from fitness.engine.encoder_decoder.completions import written
from fitness.engine.encoder_decoder.requests import Pair, tokenised
from fitness.engine.encoder_decoder.rows import PairLayout
from fitness.engine.generation.decoding import Written
from fitness.engine.language_model import Answer, Request, run_for
from fitness.engine.model.memory import Sizes
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.scoring.probe import Sizing
from fitness.engine.scoring.windows import Cuts, Prompt
from fitness.errors import FitnessError

log = logging.getLogger(__name__)


class EncoderDecoder:
    """Prompts go to the encoder; choices and answers are scored, and completions written, by the decoder.

    Implements `LanguageModel`.

    Args:
        tokenizer: the tokenizer that all models to score share; it says what the decoder begins with.
        memory: bytes that a forward pass may take above the model's own; None = 4 GiB on a CPU, what is free on a GPU.
        sizes: what a forward pass may hold; None = what is fast and fits in `memory`.
    """

    def __init__(self, tokenizer: Tokenizer, *, memory: int | None = None, sizes: Sizes | None = None) -> None:
        self.tokenizer = tokenizer
        self._sizing = Sizing(tokenizer.n_tokens, memory, "plain", sizes)
        self._told: set[str] = set()
        self._cuts = Cuts()

    def plan(self, requests: Sequence[Request]) -> EncoderDecoderPlan:
        """Tokenise requests (see `LanguageModel.plan`)."""
        run = dict.fromkeys(map(run_for, requests))
        found = {request: tokenised(request, self.tokenizer, self._cuts) for request in run}
        self._cuts.tell(len(found), self.tokenizer.max_length)
        asked = [(request, found[run_for(request)]) for request in requests]
        return EncoderDecoderPlan(self.tokenizer, self._sizing, asked, self._told)


class EncoderDecoderPlan:
    """Requests made ready; implements `Plan`."""

    def __init__(
        self, tokenizer: Tokenizer, sizing: Sizing, asked: Sequence[tuple[Request, Pair | Prompt]], told: set[str]
    ) -> None:
        self._tokenizer, self._sizing, self._told = tokenizer, sizing, told
        self._requests = list(asked)
        self._pairs = list(dict.fromkeys(one for _, one in asked if isinstance(one, Pair)))
        self._prompts = list(dict.fromkeys(one for _, one in asked if isinstance(one, Prompt)))
        self._layouts: dict[Sizes, PairLayout] = {}

    def answer(self, model: nn.Module) -> list[Answer]:
        """Return one answer per request, in their order (see `Plan.answer`)."""
        self._tell(type(model).__name__)
        model.eval()
        scores = dict(zip(self._pairs, self._sizing.in_passes_that_fit(model, self._scores), strict=True))
        written = dict(zip(self._prompts, self._sizing.in_passes_that_fit(model, self._written), strict=True))
        return [
            written[found].answer(request) if isinstance(found, Prompt) else scores[found]
            for request, found in self._requests
        ]

    def answer_together(self, models: Sequence[nn.Module]) -> list[list[Answer] | FitnessError]:
        """Return each model's answers, or what is wrong with it (see `Plan.answer_together`)."""
        found: list[list[Answer] | FitnessError] = []
        for model in models:
            try:
                found.append(self.answer(model))
            except FitnessError as error:
                found.append(error)
        return found

    def _scores(self, model: nn.Module) -> list[Answer]:
        sizes = self._sizing.sizes(model)
        if sizes not in self._layouts:
            self._layouts = {sizes: PairLayout(self._pairs, chunk_size=8 * sizes.tokens, most_reads=sizes.reads)}
        layout = self._layouts[sizes]
        reading = layout.readout.start()
        layout.run(model, reading)
        return [layout.readout.answer(pair, reading) for pair in range(len(self._pairs))]

    def _written(self, model: nn.Module) -> list[Written]:
        return written(model, self._prompts, self._sizing.sizes(model), self._tokenizer)

    def _tell(self, kind: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            log.warning("%s reads prompts with its encoder; its decoder is scored, and writes, in plain batches", kind)
