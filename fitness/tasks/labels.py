"""Right answers as text, for those who learn from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fitness.engine.language_model import Completion, Continuation, LogLikelihood, Request, WholeText
from fitness.errors import FitnessError
from fitness.protocols import ScorableTask
from fitness.tasks.items import Task
from fitness.tasks.written_answer import WrittenAnswer

_UNLIKELY = -1e3  # nats, of every choice but one


@dataclass(frozen=True)
class Labelled:
    """What an item's right answer is likelier than.

    Attributes:
        choices: what is compared; the answer or the text alone where there is nothing to compare.
        gold: which of them is right.
    """

    choices: tuple[Continuation | WholeText, ...]
    gold: int = 0


def labelled(task: ScorableTask, item_id: str) -> Labelled:
    """Return an item's right answer: of choices the one that scores best when it alone is likely.

    Raises:
        FitnessError: the right answer is not known as text.
    """
    requests = list(task.requests(item_id))
    choices = tuple(r for r in requests if isinstance(r, Continuation))
    if len(choices) == len(requests) > 1:
        scores = [task.score(item_id, _only(i, len(choices))) for i in range(len(choices))]
        best = max(scores)
        if scores.count(best) == 1:
            return Labelled(choices, scores.index(best))
    answer = _written(task, item_id, requests)
    if answer is None:
        raise FitnessError(
            f"item '{task.name}/{item_id}': expected one right answer as text to learn from, found none; take js, kl "
            "or entropy, which need none"
        )
    return Labelled((answer,))


def _only(likely: int, n: int) -> list[LogLikelihood]:
    return [LogLikelihood(-1.0 if i == likely else _UNLIKELY, i == likely) for i in range(n)]


def _written(task: ScorableTask, item_id: str, requests: Sequence[Request]) -> Continuation | WholeText | None:
    match requests:
        case [WholeText() as text]:
            return text
        case [Completion()] if isinstance(task, Task):
            item = task.item(item_id)
            return item.answered() if isinstance(item, WrittenAnswer) and not item.by_pattern else None
    return None
