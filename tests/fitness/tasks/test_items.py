from __future__ import annotations

import math

import pytest

from fitness.engine.language_model import Completion, Continuation, LogLikelihood, WholeText
from fitness.tasks.items import MultipleChoice, Task, Text
from fitness.tasks.written_answer import WrittenAnswer


def likelihoods(*values: float) -> list[LogLikelihood]:
    return [LogLikelihood(value, False) for value in values]


@pytest.mark.parametrize(
    ("values", "gold", "score"),
    [((-3.0, -1.0, -2.0), 1, 1.0), ((-3.0, -1.0, -2.0), 2, 0.0), ((-1.0, -1.0), 0, 1.0), ((-1.0, -1.0), 1, 0.0)],
)
def test_multiple_choice_scores_the_most_likely_choice_and_the_first_of_a_tie(values, gold, score):
    item = MultipleChoice("1", "q", tuple("abc"[: len(values)]), gold)
    assert item.score(likelihoods(*values)) == score


@pytest.mark.parametrize(
    ("question", "choice", "delimiter", "continuation"),
    [
        ("Which?", "this", None, " this"),
        ("Which? ", "this", None, "this"),
        ("Which?", " this", None, " this"),
        ("1+1=", "2", "", "2"),
        ("Which?", "this", "\n", "\nthis"),
        ("", "this", None, "this"),
    ],
)
def test_a_choice_follows_its_question_after_one_space_unless_told_otherwise(question, choice, delimiter, continuation):
    item = MultipleChoice("1", question, (choice, "other"), 0, delimiter)
    assert item.requests()[0] == Continuation(question, continuation)


@pytest.mark.parametrize(
    ("completion", "score"), [("12", 1.0), ("  12 ", 1.0), ("12.", 0.0), ("", 0.0), ("1", 0.0), ("112", 0.0)]
)
def test_exact_match_compares_without_spaces_around(completion, score):
    item = WrittenAnswer("1", "5+7=", " 12")
    assert item.requests() == [Completion("5+7=", ("\n",), 10)]
    assert item.score([completion]) == score


def test_a_text_scores_minus_its_bits_per_byte():
    item = Text("1", "äb")  # three bytes
    assert item.requests() == [WholeText("äb")]
    assert item.score(likelihoods(-6 * math.log(2))) == pytest.approx(-2.0)


def test_a_task_speaks_for_its_items():
    task = Task("t", (Text("x", "abc"), Text("y", "de")))
    assert (task.item_ids, task.metric) == (("x", "y"), "-bits_per_byte")
    assert task.requests("y") == [WholeText("de")]
    assert task.score("y", likelihoods(-2 * math.log(2))) == pytest.approx(-1.0)
