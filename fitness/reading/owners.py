"""To which parent a task belongs, found without right answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fitness.engine.language_model import Continuation, NextTokens, WholeText, likelihood_of
from fitness.engine.trie import TrieLanguageModel
from fitness.reading.passages import write_answers
from fitness.reading.questions import Questions
from fitness.screening.experts import Prompt

if TYPE_CHECKING:
    from torch import nn


def find_owners(
    questions: Questions,
    parents: Sequence[str],
    language_model: TrieLanguageModel,
    become: Callable[[str], nn.Module],
) -> dict[str, str]:
    """Return task -> the parent that answers it with least surprise, in the words it chose itself.

    A parent's surprise s at a task is the mean over prompts of the mean negative log-likelihood of a token that it
    wrote. Parents are compared by s²/s̄, s̄ its mean over all tasks: some are sure of whatever they say, and their own
    task is where they are surer than elsewhere. (By s alone and 8 prompts, the one of SmolLM2's experts that answers
    everything with a letter is surer of continents than their expert; it also differs most from all others, on all
    three tasks.) Of equals it is the first. What was said (`Questions.owners`) is not asked.
    """
    open_tasks = questions.unowned
    if len(parents) == 1 or not open_tasks:
        return {**dict.fromkeys(open_tasks, parents[0]), **questions.owners}
    surprise = {parent: _surprises(language_model, become(parent), questions.prompts) for parent in parents}
    return {**least_surprised(surprise, open_tasks), **questions.owners}


def least_surprised(surprise: Mapping[str, Mapping[str, float]], tasks: Sequence[str]) -> dict[str, str]:
    """Return task -> parent, of surprises in nats a token, parent -> task -> s; infinite where it writes nothing."""

    def rank(parent: str, task: str) -> float:
        known = [s for s in surprise[parent].values() if np.isfinite(s)]
        own = surprise[parent][task]
        return own * own / max(float(np.mean(known)), 1e-12) if np.isfinite(own) else float("inf")

    return {task: min(surprise, key=lambda parent: rank(parent, task)) for task in tasks}


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
