"""Models whose weights are in another program's engine, which writes their completions.

`ServedModel` stands for one wherever a module is expected. Tokens, stop strings and end tokens stay ours: such an
engine is asked with token ids, and what it wrote is read by the rules of `generation.decoding`, so that answers are
those of the plain engine within rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from torch import nn

from fitness.engine.generation.decoding import Decoding, Written
from fitness.engine.language_model import LogLikelihood
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.scoring.windows import Prompt, Window
from fitness.errors import FitnessError

NOT_FINITE = "the model's logits are not finite: its weights hold or produce NaN or infinity"


class Server(Protocol):
    """Another program's engine, which has one model's weights."""

    def continued(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Return the tokens after each prompt, at least one and at most its `max_new_tokens`.

        It may end behind an end token or a stop string, wherever it finds one.

        Raises:
            FitnessError: logits are not finite.
        """
        ...

    def log_likelihoods(self, windows: Sequence[Window]) -> list[LogLikelihood]:
        """Return the sum of the log-probabilities of each window's targets, which are its next tokens."""
        ...


class ServedModel(nn.Module):
    """Stands for a model that a server has; it has no weights of its own, and is not run.

    Args:
        server: writes its completions.
        plain: returns the same model as a module of this process, for all that is no completion; None where it does not
            fit there: log-likelihoods are the server's then, and nothing else can be asked.
    """

    def __init__(self, server: Server, plain: Callable[[], nn.Module] | None = None) -> None:
        super().__init__()
        self.server, self.plain = server, plain


def plain_module(model: nn.Module) -> nn.Module:
    """Return a model as a module that can be run.

    Raises:
        FitnessError: only a server has it.
    """
    if not isinstance(model, ServedModel):
        return model
    if model.plain is None:
        raise FitnessError(
            "engine: expected tasks of completions and log-likelihoods for a model on several devices, found one that "
            "runs the model itself; write engine: {kind: trie}, or tensor_parallel: 1"
        )
    return model.plain()


def completions_by(server: Server, prompts: Sequence[Prompt], tokenizer: Tokenizer) -> list[Written]:
    """Return the completion of each prompt; where a server ends too early, it goes on from there."""
    decodings = [Decoding(prompt, tokenizer) for prompt in prompts]
    while waiting := [decoding for decoding in decodings if not decoding.ended]:
        for decoding, ids in zip(waiting, server.continued([_rest(d) for d in waiting]), strict=True):
            for token in ids:
                decoding.append(token)
                if decoding.ended:
                    break
    return [decoding.written for decoding in decodings]


def log_likelihoods_by(server: Server, windows: Sequence[Window]) -> list[LogLikelihood]:
    """Return the log-likelihood of each window."""
    if any(window.targets is None for window in windows):
        raise FitnessError(
            "engine: expected tasks of completions and log-likelihoods for a model on several devices, found one that "
            "asks for whole distributions; write engine: {kind: trie}, or tensor_parallel: 1"
        )
    found = server.log_likelihoods(windows)
    if not all(math.isfinite(answer.value) for answer in found):
        raise FitnessError(NOT_FINITE)
    return found


def _rest(decoding: Decoding) -> Prompt:
    """Return what is still to be written, as a prompt."""
    prompt, done = decoding.prompt, decoding.ids
    return replace(prompt, ids=(*prompt.ids, *done), max_new_tokens=prompt.max_new_tokens - len(done))
