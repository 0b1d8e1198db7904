"""The prompts of a screen: what search items let a model read before it answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest

from fitness.engine.language_model import Completion, Continuation, NextTokens, Request, WholeText
from fitness.estimation import Objective
from fitness.tasks.suite import TaskSuite

ANSWER_TOKENS = 8  # that the expert writes after a prompt, at most; of a text without a question, places that are read

Prompt = Completion | NextTokens


def draw_prompts(suite: TaskSuite, objectives: Sequence[Objective], n: int) -> dict[str, Prompt]:
    """Return search item -> its prompt, for the first n in the seeded order.

    Objectives take turns, as the tasks of one objective do, so that each has its share. Items without a prompt, those
    of Python tasks, are left out.
    """
    task_of = suite.task_of
    prompts: dict[str, Prompt] = {}
    of_task: dict[str, list[str]] = {}
    for item in suite.splits.items["search"]:
        prompt = _prompt(suite.requests(item))
        if prompt is not None:
            prompts[item] = prompt
            of_task.setdefault(task_of[item], []).append(item)
    turns = _turns([list(_turns([of_task.get(task, []) for task in o.tasks])) for o in objectives])
    return {item: prompts[item] for item in list(dict.fromkeys(turns))[:n]}


def _turns(queues: Sequence[Sequence[str]]) -> Iterator[str]:
    for one_of_each in zip_longest(*queues):
        yield from (item for item in one_of_each if item is not None)


def _prompt(requests: Sequence[Request]) -> Prompt | None:
    """Return what an item's first request lets a model read; None where that is nothing.

    The choices of a question share it; where they do not (Winogrande), the first stands for all.
    """
    match requests[0] if requests else None:
        case Completion() as request:
            length = min(request.max_new_tokens, ANSWER_TOKENS)
            return replace(request, max_new_tokens=length, sampling=None) if request.prompt else None
        case Continuation(context, _) if context.strip():
            # Spaces at the end belong to what follows.
            return Completion(context.rstrip(" "), stop=("\n",), max_new_tokens=ANSWER_TOKENS)
        case Continuation(_, text) | WholeText(text):
            return NextTokens(text, ANSWER_TOKENS)
        case NextTokens(text, n_positions):
            return NextTokens(text, min(n_positions, ANSWER_TOKENS))
    return None
