"""What models answered, kept in few bytes; and what they were asked, for people to read."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fitness.engine.language_model import Answer, Completion, Continuation, LogLikelihood, Request, WholeText
from fitness.errors import FitnessError
from fitness.protocols import AnyTask, ModelTask, ScorableTask
from fitness.tasks.answer_seconds import AnswerSeconds
from fitness.tasks.answer_signals import AnswerSignals
from fitness.tasks.divergence import DivergenceTask
from fitness.tasks.generated_tokens import GeneratedTokens
from fitness.tasks.labels import labelled

Kept = str | float
"""A completion, or the log-likelihood of a choice or a text, in nats."""

_LARGEST = 1 << 28  # bytes that a few may inflate to: an archive may come from anywhere
_NO_QUESTIONS = (AnswerSeconds, AnswerSignals, DivergenceTask, GeneratedTokens)


@dataclass(frozen=True)
class Asked:
    """What an item asks, for people.

    Attributes:
        prompt: all that the model reads before it answers: after chat template, examples and system instruction.
        choices: continuations of it that are compared; empty where the model writes, or reads a text.
        gold: the right answer; empty where it is not known as text.
        metric: what the item's score measures.
    """

    prompt: str
    choices: tuple[str, ...] = ()
    gold: str = ""
    metric: str = ""

    def chosen(self, answers: Sequence[Kept]) -> str:
        """Return what a model answered: what it wrote, or the likeliest choice, as the metric measures it.

        >>> from fitness.tasks.kept_answers import Asked
        >>> Asked("2 + 2 =", (" 3", " 4"), " 4", "acc").chosen((-2.0, -1.0))
        ' 4'
        """
        if self.choices and len(answers) >= len(self.choices):
            values = [one if isinstance(one, float) else -float("inf") for one in answers[: len(self.choices)]]
            if "norm" in self.metric:
                values = [v / max(1, len(choice.strip())) for v, choice in zip(values, self.choices, strict=True)]
            return self.choices[values.index(max(values))]
        return "\n".join(one for one in answers if isinstance(one, str))


def has_questions(task: AnyTask) -> bool:
    """Return whether a task's answers are worth keeping: no cost, no signal of other answers, no run of its own."""
    return not isinstance(task, (ModelTask, *_NO_QUESTIONS))


def asked_by(task: ScorableTask, item_id: str) -> Asked:
    """Return what an item asks."""
    requests = list(task.requests(item_id))
    prompt, choices = _prompt(requests)
    try:
        known = labelled(task, item_id)
        right = known.choices[known.gold]
    except FitnessError:
        return Asked(prompt, choices, "", task.metric)
    gold = right.continuation if isinstance(right, Continuation) else ""
    if choices and gold not in choices:  # the choice is the text before the continuation
        gold = choices[known.gold] if known.gold < len(choices) else gold
    return Asked(prompt, choices, gold, task.metric)


def _prompt(requests: Sequence[Request]) -> tuple[str, tuple[str, ...]]:
    pairs = [(r.context, r.continuation) for r in requests if isinstance(r, Continuation)]
    half = len(pairs) // 2
    if half and [c for _, c in pairs[:half]] == [c for _, c in pairs[half:]] and pairs[0][0] == pairs[half - 1][0]:
        pairs = pairs[:half]  # acc_mutual_info asks for every choice once more, without the question
    if len(pairs) > 1 and len({context for context, _ in pairs}) > 1:
        texts = [context + continuation for context, continuation in pairs]
        shared = os.path.commonprefix(texts)  # noqa: RUF071 -- of characters, as it does
        return shared, tuple(text[len(shared) :] for text in texts)
    if pairs:
        return pairs[0][0], tuple(continuation for _, continuation in pairs)
    for request in requests:
        if isinstance(request, Completion):
            return request.prompt, ()
        if isinstance(request, WholeText):
            return request.text, ()
    return "", ()


def pack_answers(answered: Mapping[str, Sequence[Answer]]) -> bytes:
    """Pack item id -> answers: texts, and log-likelihoods to four decimals; others are left out.

    >>> from fitness.tasks.kept_answers import pack_answers, unpack_answers
    >>> unpack_answers(pack_answers({"facts/0": ["Paris"]}))
    {'facts/0': ('Paris',)}
    """
    kept = {
        item: [round(one.value, 4) if isinstance(one, LogLikelihood) else one for one in answers]
        for item, answers in answered.items()
        if all(isinstance(one, LogLikelihood | str) for one in answers)
    }
    return zlib.compress(json.dumps(kept, separators=(",", ":")).encode(), 1)


def unpack_answers(blob: bytes) -> dict[str, tuple[Kept, ...]]:
    """Return item id -> what `pack_answers` was given of it.

    Raises:
        ValueError: it is damaged.
    """
    found: dict[str, tuple[Kept, ...]] = {}
    for item, answers in _read(blob).items():
        if not isinstance(answers, list) or not all(isinstance(one, str | int | float) for one in answers):
            raise ValueError(f"expected texts and numbers of {item!r}")
        found[item] = tuple(one if isinstance(one, str) else float(one) for one in answers)
    return found


def pack_asked(asked: Mapping[str, Asked]) -> bytes:
    """Pack item id -> what it asks; what items have in common, such as examples, takes its place once."""
    plain = {item: [one.prompt, list(one.choices), one.gold, one.metric] for item, one in asked.items()}
    return zlib.compress(json.dumps(plain, separators=(",", ":")).encode(), 6)


def unpack_asked(blob: bytes) -> dict[str, Asked]:
    """Return item id -> what `pack_asked` was given of it.

    Raises:
        ValueError: it is damaged.
    """
    found = {}
    for item, (prompt, choices, gold, metric) in _read(blob).items():
        found[item] = Asked(str(prompt), tuple(map(str, choices)), str(gold), str(metric))
    return found


def _read(blob: bytes) -> dict[str, Any]:
    inflater = zlib.decompressobj()
    text = inflater.decompress(blob, _LARGEST)
    if not inflater.eof:
        raise ValueError("it is cut off, or too large")
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("expected a mapping")
    return found
