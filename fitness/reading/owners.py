"""To which parent a task belongs, found without right answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fitness.engine.language_model import Continuation, NextTokens, WholeText, likelihood_of
from fitness.engine.trie import TrieLanguageModel
from fitness.reading.passages import write_answers
from fitness.reading.questions import Prompt, Questions

if TYPE_CHECKING:
    from torch import nn


def find_owners(
    questions: Questions,
    parents: Sequence[str],
    language_model: TrieLanguageModel,
    become: Callable[[str], nn.Module],
) -> dict[str, str]:
    """Return task -> the parent that answers it with least surprise, in the words it chose itself.

    A task's surprise is the mean over prompts of the mean negative log-likelihood of a token that the parent wrote; of
    equally surprised parents it is the first. What was said (`Questions.owners`) is not measured.
    """
    open_tasks = questions.unowned
    if len(parents) == 1 or not open_tasks:
        return {**dict.fromkeys(open_tasks, parents[0]), **questions.owners}
    asked = {task: questions.prompts[task] for task in open_tasks}
    surprise = {parent: _surprises(language_model, become(parent), asked) for parent in parents}
    return {task: min(parents, key=lambda parent: surprise[parent][task]) for task in open_tasks} | dict(
        questions.owners
    )


def _surprises(
    language_model: TrieLanguageModel, model: nn.Module, asked: Mapping[str, Sequence[Prompt]]
) -> dict[str, float]:
    """Return task -> mean surprise, in nats a token."""
    prompts = [prompt for group in asked.values() for prompt in group]
    answers = write_answers(language_model, model, prompts)
    requests = {place: _read_again(p, answer) for place, (p, answer) in enumerate(zip(prompts, answers, strict=True))}
    said = {place: request for place, request in requests.items() if request is not None}
    found = language_model.plan(list(said.values())).answer(model) if said else []
    per_token = dict.fromkeys(range(len(prompts)), np.nan)
    for (place, request), answer in zip(said.items(), found, strict=True):
        per_token[place] = -likelihood_of(answer) / _n_tokens(language_model, request)
    values = iter(per_token.values())
    return {task: _mean([next(values) for _ in group]) for task, group in asked.items()}


def _read_again(prompt: Prompt, answer: str) -> Continuation | WholeText | None:
    if isinstance(prompt, NextTokens):
        return WholeText(prompt.text)
    return Continuation(prompt.prompt, answer) if answer else None


def _n_tokens(language_model: TrieLanguageModel, request: Continuation | WholeText) -> int:
    tokenizer = language_model.tokenizer
    if isinstance(request, WholeText):
        return len(tokenizer.encode(request.text))
    return len(tokenizer.encode_pair(request.context, request.continuation)[1])


def _mean(values: Sequence[float]) -> float:
    """Return the mean of what is known; infinity where nothing is: a parent that writes nothing answers nothing."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("inf")
