"""lm-eval's own Hugging Face backend, asked the same requests."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from torch import nn

from fitness import Completion, Continuation, WholeText
from fitness.engine.language_model import Request


class Peer:
    """Answers requests with lm-eval, all requests of a kind in one call, as its evaluator does."""

    def __init__(self, model: nn.Module, tokenizer: Any, *, batch_size: int) -> None:
        self._lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size, trust_remote_code=False)

    def answer(self, requests: Sequence[Request]) -> list[float | str]:
        """Return a log-likelihood or a text per request, in their order."""
        instances: dict[str, dict[int, Instance]] = {}
        for place, request in enumerate(requests):
            kind, arguments = _as_lm_eval(request)
            instances.setdefault(kind, {})[place] = Instance(kind, {}, arguments, place)
        answers: dict[int, float | str] = {}
        with contextlib.redirect_stderr(io.StringIO()):  # progress bars
            for kind, asked in instances.items():
                found = getattr(self._lm, kind)(list(asked.values()), disable_tqdm=True)
                values = [answer[0] if isinstance(answer, tuple) else answer for answer in found]
                answers.update(zip(asked, values, strict=True))
        return [answers[place] for place in range(len(requests))]


def _as_lm_eval(request: Request) -> tuple[str, tuple[Any, ...]]:
    match request:
        case Continuation(context, continuation):
            return "loglikelihood", (context, continuation)
        case WholeText(text):
            return "loglikelihood_rolling", (text,)
        case Completion(prompt, stop, max_new_tokens, None):
            return "generate_until", (prompt, {"until": list(stop), "max_gen_toks": max_new_tokens})
    raise ValueError(f"expected a request that lm-eval's backend knows, found {type(request).__name__}")
