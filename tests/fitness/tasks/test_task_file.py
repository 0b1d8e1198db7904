from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fitness.errors import FitnessError
from fitness.tasks.items import MultipleChoice, Text
from fitness.tasks.task_file import load_task_file
from fitness.tasks.written_answer import WrittenAnswer
from tests.fitness.conftest import write_jsonl

CHOICE = {"question": "a?", "choices": ["x", "y"], "gold": 1}
OTHER = {"question": "b?", "choices": ["x", "y"], "gold": 0}


def load(tmp_path: Path, *lines: object, name: str | None = None):
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path = tmp_path / "things.jsonl"
    path.write_text(text)
    return load_task_file(path, name)


def test_multiple_choice_is_read_with_gold_as_index_or_answer_as_text_or_index(tmp_path):
    task = load(
        tmp_path,
        CHOICE,
        {"id": "second", "question": "b?", "choices": ["x", "y"], "answer": "x"},
        {"id": 7, "question": "c?", "choices": ["x", "y"], "answer": 1, "delimiter": ""},
    )
    assert task.name == "things"
    assert task.metric == "acc"
    assert task.items == (
        MultipleChoice(task.items[0].id, "a?", ("x", "y"), 1),
        MultipleChoice("second", "b?", ("x", "y"), 0),
        MultipleChoice("7", "c?", ("x", "y"), 1, ""),
    )


def test_exact_match_and_text_are_detected_and_empty_lines_and_a_byte_order_mark_ignored(tmp_path):
    task = load(tmp_path, '\ufeff{"prompt": "1+1=", "answer": "2"}', "", '{"prompt": "1+2=", "answer": "3"}\r', "")
    assert task.items == (WrittenAnswer(task.items[0].id, "1+1=", "2"), WrittenAnswer(task.items[1].id, "1+2=", "3"))
    task = load(tmp_path, {"id": 1, "text": "one"}, {"id": 2, "text": "two", "source": "ignored"}, name="prose")
    assert (task.name, task.items) == ("prose", (Text("1", "one"), Text("2", "two")))


def test_a_default_id_depends_on_what_is_asked_and_a_line_put_before_the_others_changes_none(tmp_path):
    lines = [{"question": f"{i}?", "choices": ["x", "y"], "gold": i % 2} for i in range(5)]
    items = load(tmp_path, *lines).items
    assert len({item.id for item in items}) == 5
    assert load(tmp_path, {**CHOICE, "id": 0}, *lines).items[1:] == items
    assert [item.id for item in load(tmp_path, *(line | {"gold": 1 - line["gold"]} for line in lines)).items] == [
        item.id for item in items
    ]


def test_items_say_what_they_have_in_common_as_a_text_or_a_number(tmp_path):
    named = [7, "7 ", 7.0, 0.5, "a passage\nof two lines"]
    lines = [{"id": i, "text": f"{i}", "group": group} for i, group in enumerate(named)]
    task = load(tmp_path, *lines, {"id": "alone", "text": "x"})
    assert task.group_of == {"0": "7", "1": "7", "2": "7", "3": "0.5", "4": "a passage\nof two lines"}
    assert task.item_text("0") == load(tmp_path, {"id": 0, "text": "0"}).item_text("0")


def test_equal_items_are_numbered_and_only_what_is_asked_makes_them_equal(tmp_path):
    asked = ["1+1=", " 1+1= ", "1+2="]
    one, two, three = load(tmp_path, *({"prompt": p, "answer": f"{i}"} for i, p in enumerate(asked))).item_ids
    assert two == f"{one}-2"
    assert three not in (one, two)


def test_ids_of_an_older_versions_searches_are_the_lines_numbers(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [CHOICE, {**OTHER, "id": "own"}, {**OTHER, "question": "c?"}])
    assert load_task_file(path, numbered=True).item_ids == ("1", "own", "3")


def test_equal_choices_are_told_with_file_line_and_count(tmp_path, caplog):
    load(tmp_path, CHOICE, *({**OTHER, "choices": [" x", "x", "z"], "question": q} for q in ("b?", "c?")))
    assert caplog.messages == [
        f"{tmp_path}/things.jsonl:2: expected choices that differ, found equal ones: none of them can be told from the "
        "others (2 of 3 items are so)"
    ]


def test_keys_that_nobody_reads_are_told_of_once_a_file_with_what_may_have_been_meant(tmp_path, caplog):
    load(tmp_path, CHOICE | {"delimeter": ""}, *({**OTHER, "question": q, "kind": q, "delimeter": ""} for q in "cd"))
    assert caplog.messages == [
        f"{tmp_path}/things.jsonl: not read: key 'delimeter' (line 1; did you mean 'delimiter'?), key 'kind' (line 2)"
    ]


def test_keys_that_any_kind_of_item_reads_are_not_told_of(tmp_path, caplog):
    load(tmp_path, {"id": 1, "prompt": "1+1=", "answer": "2", "gold": "2"}, {"prompt": "1+2=", "answer": "3"})
    load(tmp_path, CHOICE | {"id": 1, "answer": "y", "delimiter": ""}, OTHER)
    assert caplog.messages == []


def test_of_many_unread_keys_few_are_told_and_none_at_full_length(tmp_path, caplog):
    load(tmp_path, CHOICE | {f"{'long' * 999}{i}": i for i in range(99)}, OTHER)
    (told,) = caplog.messages
    assert told.endswith(" and 95 more")
    assert len(told) < 600


@pytest.mark.parametrize("answer", ["y", 1, "B", "b", "because of y"])
def test_an_answer_beside_gold_that_says_the_same_or_nothing_of_choices_is_left_alone(tmp_path, answer):
    assert load(tmp_path, {**CHOICE, "answer": answer}).items[0].gold == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"question": "a?", ', r"things.jsonl:2: .*broken JSON.*column"),
        ('["a"]', "expected a JSON object, found list"),
        ({}, "found no keys"),
        ({"qestion": "a?"}, "did you mean 'question'"),
        ({"question": "a?", "choices": ["x", "y"]}, "gold: expected the index of the right choice, found no such key"),
        ({"question": "a?", "gold": 1}, "choices: expected a list of strings, found no such key"),
        ({"question": "a?", "choices": [], "gold": 0}, "choices: expected at least two, found 0"),
        ({"question": "a?", "choices": ["x", ""], "gold": 0}, r"choices\[1\]: expected a string, found an empty one"),
        ({"question": "a?", "choices": ["x", 3], "gold": 0}, r"choices\[1\]: expected a string, found int 3"),
        ({"question": "a?", "choices": ["x", "y"], "gold": 2}, "gold: expected an index from 0 to 1, found 2"),
        ({"question": "a?", "choices": ["x", "y"], "gold": -1}, "gold: expected an index from 0 to 1, found -1"),
        ({"question": "a?", "choices": ["x", "y"], "gold": True}, "gold: expected the index .* found bool true"),
        ({"question": "a?", "choices": ["x", "y"], "answer": "z"}, "text of exactly one choice, found 'z', 0 times"),
        ({"question": "a?", "choices": ["x", "x"], "answer": "x"}, "text of exactly one choice, found 'x', 2 times"),
        ({"choices": ["x", "y"], "gold": 0}, "question: expected a string, found no such key"),
        ({"choices": ["x", "y"], "gold": 0, "quesion": "a"}, "found no such key, but 'quesion'"),
        ({"prompt": "a", "answer": 3.5}, "answer: expected a string, found float 3.5"),
        ({"prompt": "a", "answer": " "}, "answer: expected one line of text"),
        ({"prompt": "a", "answer": "x\ny"}, "answer: expected one line of text"),
        ({"prompt": "a"}, "answer: expected a string, found no such key"),
        ({"text": ""}, "text: expected a string, found an empty one"),
        ('{"text": "\\ud800"}', "half a surrogate pair"),
        ({**OTHER, "id": "one"}, "expected unique ids, found id 'one' on line 1 already"),
        ({**OTHER, "id": None}, "id: expected a string"),
        ({**OTHER, "group": None}, "group: expected a string or a number .* found NoneType null; leave it out"),
        ({**OTHER, "group": " "}, 'group: expected .* found str " "'),
        ({**OTHER, "group": ["a"]}, "group: expected a string or a number"),
        ({**OTHER, "group": True}, "group: expected .* found bool true"),
        ('{"question": "b?", "choices": ["x", "y"], "gold": 0, "group": 1e999}', "group: expected .* found float"),
        ('{"question": "b?", "choices": ["x", "y"], "gold": 0, "group": "\\ud800"}', "group: .*half a surrogate pair"),
        ({**OTHER, "id": "a\nb"}, "one line of at most 200 characters"),
        ({**OTHER, "id": "\x1b[2J"}, "none of them a control character"),
        ({**OTHER, "id": "a" * 201}, "one line of at most 200 characters"),
        ('{"question": "b?", "choices": ["x", "y"], "gold": 0, "id": "\\ud800"}', "id: .*half a surrogate pair"),
        (
            '{"question": "b?", "choices": ["x", "y"], "gold": ' + "9" * 5000 + "}",
            "at most 100 digits, found one of 5000",
        ),
        ('{"question": "b?", "choices": ["x", "y"], "gold": 0, "id": ' + "9" * 5000 + "}", "at most 100 digits"),
        ('{"question": "b?", "choices": ["x", "y"], "gold": 0, "x": 1.' + "9" * 5000 + "}", "at most 100 digits"),
        ('{"question": "b?", "choices": ["x", "y"], "gold": NaN}', "expected finite numbers, found NaN"),
        ('{"question": "b?", "choices": ["x", "y"], "gold": 0, "gold": 1}', "found 'gold' twice in one object"),
        ('{"text": "a", "more": [{"a": 1, "\\u0061": 2}]}', "found 'a' twice in one object"),
        ({**OTHER, "answer": "y"}, "answer: expected what gold 0 says, 'x', found str \"y\""),
        ({**OTHER, "answer": 1}, "answer: expected what gold 0 says"),
        ({**OTHER, "answer": "B"}, "answer: expected what gold 0 says"),
        ({"prompt": "1+1=", "answer": "2", "gold": "3"}, "gold: expected what answer says"),
        ({"text": "abc"}, "kind of the first item .multiple choice., found perplexity of text"),
        ("[" * 100_000, "nested too deeply"),
        ('{"text": "a", "more": ' + '{"a":' * 65 + "1" + "}" * 66, "nested too deeply"),
    ],
)
def test_a_wrong_line_is_reported_with_its_number_what_was_expected_and_found(tmp_path, line, message):
    with pytest.raises(FitnessError, match=message) as error:
        load(tmp_path, {**CHOICE, "id": "one"}, line)
    assert len(str(error.value)) < len(str(tmp_path)) + 400
    assert "things.jsonl:2: " in str(error.value)


def test_all_wrong_lines_are_reported_at_once_the_first_four_in_words(tmp_path):
    with pytest.raises(FitnessError) as error:
        load(tmp_path, CHOICE, *(["{}"] * 23))
    lines = str(error.value).splitlines()
    assert len(lines) == 5
    assert lines[0].startswith(f"{tmp_path}/things.jsonl:2: ")
    assert lines[3].startswith(f"{tmp_path}/things.jsonl:5: ")
    assert lines[4] == "and 19 more"


def test_bytes_that_are_not_utf8_are_reported(tmp_path):
    path = tmp_path / "latin.jsonl"
    path.write_bytes('{"text": "caf\xe9"}\n'.encode("latin-1"))
    with pytest.raises(FitnessError, match=r"latin.jsonl:1: expected UTF-8, found byte 0xe9 at column 14"):
        load_task_file(path)


def test_a_file_without_items_is_refused(tmp_path):
    with pytest.raises(FitnessError, match="at least one item, found none"):
        load(tmp_path, "", " ")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(FitnessError, match="expected a readable task file"):
            load_task_file(path)


@pytest.mark.parametrize(
    "lines",
    [
        [{**CHOICE, "question": f"{i}?"} for i in range(5)],
        [{"prompt": f"{i}", "answer": "yes"} for i in range(5)],
    ],
)
def test_a_task_where_every_answer_is_the_same_is_refused(tmp_path, lines):
    with pytest.raises(FitnessError, match="answers that differ between items"):
        load(tmp_path, *lines)
    assert len(load(tmp_path, lines[0]).items) == 1


def test_the_same_index_with_different_texts_is_a_fair_task(tmp_path):
    assert len(load(tmp_path, CHOICE, {**CHOICE, "choices": ["x", "z"]}).items) == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=60), max_size=4))
def test_no_content_gets_through_but_as_a_task_or_a_fitness_error(tmp_path, lines):
    path = tmp_path / "fuzz.jsonl"
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(FitnessError):
        load_task_file(path)


def test_a_written_file_is_read_back(tmp_path):
    lines = [{"text": f"{i} \u2028 ünï"} for i in range(3)]
    task = load_task_file(write_jsonl(tmp_path / "a.jsonl", lines))
    assert [item.text for item in task.items] == [line["text"] for line in lines]


def test_brackets_inside_texts_are_no_nesting(tmp_path):
    text = '[{\\"' * 100
    assert load(tmp_path, {"text": text}, {"text": "b"}).items[0].text == text
