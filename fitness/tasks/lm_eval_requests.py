"""lm-eval's requests in our terms, and our answers in its terms."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from fitness.engine.language_model import (
    Answer,
    Continuation,
    LogLikelihood,
    NextTokens,
    Request,
    Sampling,
    WholeText,
)
from fitness.engine.lm_eval.lm_eval_generation import TOP_K, completion
from fitness.errors import FitnessError
from fitness.tasks.contents import content
from fitness.tasks.divergence import TEXT_POSITIONS

_LOG = logging.getLogger(__name__)


def n_repeats(instance: Any) -> int:
    """Return how often an instance is asked; more than once only makes a difference where answers are sampled."""
    return int(instance.repeats or 1)


def request_of(instance: Any, repeat: int, task: str) -> Request:
    """Return what one repeat of an lm-eval instance asks."""
    match instance.request_type:
        case "loglikelihood":
            return Continuation(*map(str, instance.args))
        case "loglikelihood_rolling":
            return WholeText(str(instance.args[0]))
        case "generate_until":
            seed = int(instance.doc_id) * n_repeats(instance) + repeat
            try:
                return completion(str(instance.args[0]), instance.args[1], defaults=Sampling(top_k=TOP_K, seed=seed))
            except FitnessError as error:
                raise FitnessError(f"task {task!r}: {error}; change them in a copy of its YAML file") from error
    raise FitnessError(f"task {task!r}: expected requests of lm-eval's three kinds, found {instance.request_type!r}")


def response_to(instance: Any, answer: Answer) -> object:
    """Return what lm-eval's models return for this kind of request."""
    if not isinstance(answer, LogLikelihood):
        return answer
    return answer.value if instance.request_type == "loglikelihood_rolling" else (answer.value, answer.is_greedy)


def compared(instances: Sequence[Any]) -> tuple[NextTokens, ...]:
    """Return where a document's prompts are compared with an expert's answers: at their ends, or all over a text."""
    requests: dict[NextTokens, None] = {}
    for instance in instances:
        text = str(instance.args[0])
        if instance.request_type == "loglikelihood_rolling":
            requests[NextTokens(text, TEXT_POSITIONS)] = None
        else:
            scored = instance.request_type == "loglikelihood"  # there, spaces belong to what follows
            requests[NextTokens(text.rstrip(" ") if scored else text)] = None
    return tuple(request for request in requests if request.text) or (NextTokens(""),)


def content_of(task: Any, doc: Any) -> str:
    """Return what lm-eval's task asks of a document, the examples before it and the right answer aside.

    The question, with the choices; where a given text is scored (LAMBADA, WikiText), that text.
    """
    try:
        question, kind = task.doc_to_text(doc), str(task.config.output_type)
        if kind == "multiple_choice":
            # without text the question is in the choices, and a number in its place is the right answer (Winogrande)
            return content("choice", question if isinstance(question, str) else "", map(str, task.doc_to_choice(doc)))
        if kind == "generate_until" and isinstance(question, str) and question.strip():
            return content("prompt", question)
        scored = task.doc_to_target(doc)
        if kind == "loglikelihood_rolling" and isinstance(scored, str) and scored.strip():
            return content("text", scored)
        if kind == "loglikelihood" and isinstance(question, str) and isinstance(scored, str):
            return content(kind, question, [scored])
    except Exception as error:  # definitions hold code of their own; the document itself says enough
        _LOG.info("what a document asks is not known from its task (%s): the whole of it counts", error)
    return content("document", json.dumps(doc, sort_keys=True, default=repr))
