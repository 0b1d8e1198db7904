"""How rows become questions: templates, columns, matches, messages; from JSON lines, tables, Parquet and datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fitness.engine.language_model import Completion
from fitness.errors import FitnessError
from fitness.tasks.asking import Asking
from fitness.tasks.items import MultipleChoice
from fitness.tasks.prompts import Prompts
from fitness.tasks.sources import TaskContext, load_tasks
from fitness.tasks.task_file import load_task_file
from fitness.tasks.written_answer import WrittenAnswer
from tests.fitness.conftest import write_jsonl


def written(path: Path, **asking: Any) -> list[WrittenAnswer]:
    items = load_task_file(path, asking=Asking(**asking)).items
    assert all(isinstance(item, WrittenAnswer) for item in items)
    return list(items)  # type: ignore[arg-type]


ROWS = [{"question": "How many?", "answer": "12 - 5 = 7. #### 7"}, {"question": "And now?", "answer": "1,000"}]


def test_a_template_makes_the_prompt_and_the_match_says_what_is_right(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "sums.jsonl", ROWS)
    with pytest.raises(FitnessError, match="choices: expected a list of strings, found no such key"):
        load_task_file(path)
    first, second = written(path, template="Question: {question}\nAnswer:", match="number", stop=("\n\n",))
    assert first.requests() == [Completion("Question: How many?\nAnswer:", ("\n\n",), 256)]
    assert [first.score([text]) for text in (" 5 + 2 = 7.", " 7.0", " 8")] == [1.0, 1.0, 0.0]
    assert second.score(["It is 1000"]) == 1.0


def test_braces_are_written_twice_and_what_is_no_key_is_refused(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "sums.jsonl", ROWS)
    (first, _) = written(path, template="{{x}} {question}")
    assert first.prompt == "{x} How many?"
    for template, found in [
        ("{questoin}", "expected the key 'questoin' in every row, found none; did you mean 'question'"),
        (
            "{question.__class__}",
            r"expected a key of the rows in braces, .* found \{question.__class__\}",
        ),
        ("{question!r}", r"found \{question!r\}"),
        ("{question:>9}", r"found \{question:>9\}"),
        ("{question", "expected '}' before end of string"),
    ]:
        with pytest.raises(FitnessError, match=found):
            load_task_file(path, asking=Asking(template=template))


def test_a_file_as_before_is_asked_and_told_as_before(tmp_path: Path) -> None:
    (only, _) = written(
        write_jsonl(tmp_path / "a.jsonl", [{"prompt": "1+1=", "answer": "2"}, {"prompt": "1+2=", "answer": "3"}])
    )
    assert only == WrittenAnswer(only.id, "1+1=", "2")
    assert only.requests() == [Completion("1+1=", ("\n",), 9)]
    told = load_task_file(tmp_path / "a.jsonl").item_text(only.id)
    assert json.loads(told) == {"prompt": "1+1=", "answer": "2"}


def test_any_of_several_answers_is_right_after_normal_forms(tmp_path: Path) -> None:
    rows = [{"prompt": "Capital?", "answers": ["Paris", "City of Light"]}, {"prompt": "River?", "answer": "Seine"}]
    paris, _ = written(
        write_jsonl(tmp_path / "a.jsonl", rows), normalise=("case", "punctuation", "articles", "whitespace")
    )
    assert [paris.score([text]) for text in ("The city of light.", " PARIS", "Lyon")] == [1.0, 1.0, 0.0]
    (contains, _) = written(tmp_path / "a.jsonl", match="contains")
    assert contains.score(["I think it is Paris, in France"]) == 1.0


def test_rows_say_it_themselves_before_the_campaign_does_and_agree_with_each_other(tmp_path: Path) -> None:
    rows = [{"prompt": f"{i}?", "answer": str(i), "match": "number", "max_tokens": 5 + i} for i in range(2)]
    items = written(write_jsonl(tmp_path / "a.jsonl", rows), match="contains", max_tokens=99)
    assert [item.requests()[0].max_new_tokens for item in items] == [5, 6]  # type: ignore[union-attr]
    path = write_jsonl(tmp_path / "b.jsonl", [*rows, {"prompt": "x?", "answer": "x"}])
    with pytest.raises(FitnessError, match=r"b\.jsonl:3: expected the kind .* \(match: number\), found exact"):
        load_task_file(path)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"match": "exacct"}, "match: expected one of exact, contains, .*; did you mean 'exact'"),
        ({"normalise": ["cases"]}, "normalise: expected steps of case, .*, found cases"),
        ({"max_tokens": 0}, "max_tokens: expected a whole number from 1 to 32768, found int 0"),
        ({"stop": [1]}, r"stop\[0\]: expected a string, found int 1"),
        ({"answers": []}, r"answers: expected a list of strings, found list \[\]"),
        ({"answers": ["b"]}, "answer: expected one of answers, found str"),
        ({"match": "regex", "answer": "("}, r"answer: expected a regular expression, found '\('"),
        ({"match": "number", "answer": "none"}, "answer: expected a number, as match: number compares, found 'none'"),
        ({"language": "german"}, "language: expected a code of ISO 639-1, found 'german'"),
        ({"messages": [{"role": "bot"}], "prompt": None}, r"messages\[0\]: expected role \(system, user, assistant\)"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    row = {key: value for key, value in {"prompt": "a?", "answer": "a", **keys}.items() if value is not None}
    with pytest.raises(FitnessError, match=f"a.jsonl:1: {message}"):
        load_task_file(write_jsonl(tmp_path / "a.jsonl", [row, {"prompt": "b?", "answer": "b"}]))


def test_choices_are_asked_by_letter(tmp_path: Path) -> None:
    rows = [
        {"question": "Red?", "choices": ["red", "blue"], "gold": 0},
        {"question": "Blue?", "choices": ["red", "blue"], "gold": 1},
    ]
    red, blue = written(write_jsonl(tmp_path / "a.jsonl", rows), match="choice")
    assert red.prompt == "Red?\nA. red\nB. blue\nAnswer:"
    assert (red.score(["(A)"]), blue.score(["(A)"]), blue.score(["it is blue"])) == (1.0, 0.0, 1.0)
    (own, _) = written(tmp_path / "a.jsonl", match="choice", template="{question} {choices} ->")
    assert own.prompt == "Red? A. red\nB. blue ->"


def test_tables_and_parquet_are_read_by_their_columns(tmp_path: Path) -> None:
    rows = [("Is it, red?", "red", "blue", "B"), ("What\nnow?", "one", "two", "A")]
    quoted = "\n".join(",".join(f'"{cell}"' for cell in row) for row in rows)
    (tmp_path / "a.csv").write_text(f"\ufeffquery,first,second,label\n{quoted}\n", encoding="utf-8")
    columns = {"question": "query", "choices": ["first", "second"], "answer": "label"}
    items = load_task_file(tmp_path / "a.csv", asking=Asking(columns=columns)).items
    assert items == (
        MultipleChoice(items[0].id, "Is it, red?", ("red", "blue"), 1),
        MultipleChoice(items[1].id, "What\nnow?", ("one", "two"), 0),
    )
    from pyarrow import Table, parquet

    names = ("query", "first", "second", "label")
    parquet.write_table(Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows]), tmp_path / "a.parquet")
    assert load_task_file(tmp_path / "a.parquet", asking=Asking(columns=columns)).items == items
    with pytest.raises(
        FitnessError,
        match=r"a\.csv:2: columns.question: expected the column 'querry', found no such column; did you mean 'query'",
    ):
        load_task_file(tmp_path / "a.csv", asking=Asking(columns={"question": "querry"}))
    (tmp_path / "b.csv").write_text("prompt,answer\nx,1\ny\n", encoding="utf-8")
    with pytest.raises(FitnessError, match=r"b\.csv:3: expected 2 cells, as the header has, found 1"):
        load_task_file(tmp_path / "b.csv")


@pytest.mark.slow
def test_a_dataset_of_a_directory_is_read_as_one_of_the_hub_is(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "test.csv").write_text("prompt,answer\n1+1=,2\n1+2=,3\n", encoding="utf-8")
    (tasks,) = load_tasks(["hf:data@test"], TaskContext(tmp_path)).values()
    assert tasks[0].name == "data"
    assert len(tasks[0].item_ids) == 2
    with pytest.raises(FitnessError, match=r"task 'hf:.*expected a dataset with the split 'train'"):
        load_tasks(["hf:data@train"], TaskContext(tmp_path))


def test_a_right_answer_is_in_the_language_that_is_asked_for(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Wie viele?", "answer": "12", "match": "number", "language": "de"},
        {"prompt": "Und?", "answer": "3", "match": "number", "language": "de"},
    ]
    item, _ = written(write_jsonl(tmp_path / "a.jsonl", rows))
    assert item.score(["Sie hat noch 12 Äpfel."]) == 1.0
    assert item.score(["She still has 12 apples left."]) == 0.0
    assert item.score(["12"]) == 0.0


def test_messages_are_rendered_with_the_chat_template_and_refused_without(tmp_path: Path) -> None:
    said = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "1+1?"},
    ]
    rows = [{"messages": said, "answer": "2", "system": "Be brief."}, {"messages": said[:1], "answer": "3"}]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(FitnessError, match="messages: expected a chat template, which makes a prompt of them"):
        load_tasks([str(path)], TaskContext())
    seen: list[Any] = []

    def render(messages: list[dict[str, str]]) -> str:
        seen.append(messages)
        return " ".join(message["content"] for message in messages)

    first, second = written(path)
    prompts = Prompts(system_instruction="General.")
    whole = first.framed(lambda *asked: prompts.frame(*asked, render=render), chat=True)
    assert whole == WrittenAnswer(first.id, "Be brief. Hi Yes? 1+1?", "2")
    assert second.framed(lambda *asked: prompts.frame(*asked, render=render), chat=True).prompt == "General. Hi"
