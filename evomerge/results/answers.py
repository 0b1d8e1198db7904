"""What candidates answered, item by item, beside what was asked and what is right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from evomerge.archive import Archive
from evomerge.candidate import Candidate
from evomerge.errors import EvomergeError
from evomerge.results.picks import pick
from fitness.scores import Split
from fitness.tasks.kept_answers import Asked, Kept

Only = Literal["won", "lost", "changed"]


class AnswersError(EvomergeError, ValueError):
    """There are no such answers; the message says why, and what to do."""


@dataclass(frozen=True)
class ItemAnswer:
    """One candidate's answer to one item.

    Attributes:
        item: its id, `task/item`.
        score: higher is better.
        prompt: all that the model read, after chat template and examples; empty where it is not kept.
        gold: the right answer; empty where it is not known as text.
        answer: what the model wrote, or the choice that it finds likeliest.
        choices: what it chose from; empty where it wrote.
        likelihoods: of each choice, or of the text, in nats.
    """

    item: str
    score: float
    prompt: str
    gold: str
    answer: str
    choices: tuple[str, ...] = ()
    likelihoods: tuple[float, ...] = ()

    @property
    def task(self) -> str:
        """The task's name."""
        return self.item.rpartition("/")[0] or self.item


@dataclass(frozen=True)
class Pair:
    """Two candidates' answers to one item."""

    a: ItemAnswer
    b: ItemAnswer

    @property
    def outcome(self) -> Literal["won", "lost", "same"]:
        """What became of the item for the first: won, lost, or the same score."""
        return "same" if self.a.score == self.b.score else "won" if self.a.score > self.b.score else "lost"

    def is_among(self, only: Only | None) -> bool:
        """Return whether it is won, lost, or changed: another score or another answer."""
        if only == "changed":
            return self.outcome != "same" or self.a.answer != self.b.answer
        return only is None or self.outcome == only


def named(archive: Archive, choice: str) -> Candidate:
    """Return the candidate that a choice names: a pick, a number, or a landmark, such as a parent.

    Raises:
        PickError: nothing answers to the choice.
        ArchiveError: there is no such candidate.
    """
    for landmark in archive.landmarks():
        if landmark.label == choice:
            return landmark
    return pick(archive, choice)


def answers_of(archive: Archive, number: int, split: Split = "search") -> list[ItemAnswer]:
    """Return a candidate's answers to the items of a split, in the order in which it was scored.

    Raises:
        AnswersError: none are kept.
    """
    found, scores = archive.answers.of(number, split), archive.scores(number, split)
    if not found or scores is None:
        raise AnswersError(_why_not(archive, number, split, scored=scores is not None))
    asked = archive.answers.asked(split)
    return [
        item_answer(item, float(score), asked.get(item, Asked("")), found[item])
        for item, score in zip(scores.item_ids, scores.values, strict=True)
        if item in found
    ]


def paired(a: Sequence[ItemAnswer], b: Sequence[ItemAnswer]) -> Iterator[Pair]:
    """Yield both answers to every item that both answered."""
    theirs = {one.item: one for one in b}
    return (Pair(one, theirs[one.item]) for one in a if one.item in theirs)


def item_answer(item: str, score: float, asked: Asked, answers: Sequence[Kept]) -> ItemAnswer:
    """Return an answer beside what was asked."""
    likelihoods = tuple(one for one in answers if isinstance(one, float))
    chosen = asked.chosen(answers)
    return ItemAnswer(item, score, asked.prompt, asked.gold, chosen, asked.choices, likelihoods)


def _why_not(archive: Archive, number: int, split: Split, *, scored: bool) -> str:
    if not scored:
        return f"answers: expected a candidate that was scored on {split} items, found candidate {number}"
    kept = sorted(archive.answers.kept())
    shown = ", ".join(map(str, kept[:12])) + (", ..." if len(kept) > 12 else "")
    hint = f"there are those of candidates {shown}" if kept else "the run keeps none"
    return (
        f"answers: expected a candidate whose answers to {split} items are kept, found candidate {number}; {hint}. "
        "Write answers: all in the campaign to keep everybody's from here on; Python tasks have none"
    )
