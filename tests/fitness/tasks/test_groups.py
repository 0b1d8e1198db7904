"""Items that come together: who says so, and that they are split and counted as one."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitness.errors import FitnessError
from fitness.splits import Splits
from fitness.tasks.contents import contents_of
from fitness.tasks.groups import Groups, groups_said
from fitness.tasks.items import MultipleChoice, Task
from fitness.tasks.lm_eval_groups import groups_of_documents
from fitness.tasks.lm_eval_tasks import LMEvalOptions, load_lm_eval_tasks
from fitness.tasks.python_callable import PythonTask
from fitness.tasks.sources import TaskContext, load_tasks, make_suite
from tests.fitness.conftest import arithmetic, write_jsonl
from tests.fitness.tasks.test_contents import DEFINITION

SHARES = {"search": 0.4, "validation": 0.2, "test": 0.4}


def task_of(name: str, *asked: tuple[str, str | None]) -> Task:
    """A task of (question, group) pairs; ids are their numbers."""
    items = tuple(MultipleChoice(str(i), question, ("a", "b"), i % 2) for i, (question, _) in enumerate(asked))
    groups = {str(i): group for i, (_, group) in enumerate(asked) if group is not None}
    return Task(name, items, group_of=groups)


def split_of(*tasks: Task, seed: int = 0) -> dict[str, str]:
    contents = {task.name: contents_of(task) for task in tasks}
    drawn_by = Groups.of(tasks).drawn_by
    # So that no task lacks an item in a split.
    filled = {name: of_task | {f"f{i}": f"filling {i}" for i in range(60)} for name, of_task in contents.items()}
    splits = Splits.draw(filled, shares=SHARES, seed=seed, drawn_by=drawn_by)
    return {item: split for split, items in splits.items.items() for item in items if "/f" not in item}


names = st.sampled_from([None, "p", "q", "r"])
asked = st.lists(st.tuples(st.sampled_from("abcdefgh"), names), min_size=1, max_size=12)


def linked(tasks: list[Task]) -> dict[str, set[str]]:
    """Item -> all items that it is tied to by a group or a question, found by spreading until nothing changes."""
    marks = {
        f"{task.name}/{item.id}": {item.question, f"group {task.group_of[item.id]}"}
        if item.id in task.group_of
        else {item.question}
        for task in tasks
        for item in task.items
    }
    while True:
        wider = {item: set().union(*(other for other in marks.values() if other & own)) for item, own in marks.items()}
        if wider == marks:
            return {item: {other for other in marks if marks[other] == own} for item, own in marks.items()}
        marks = wider


@given(first=asked, second=asked, seed=st.integers(0, 100))
def test_items_are_split_and_counted_together_exactly_where_a_group_or_a_question_ties_them(first, second, seed):
    tasks = [task_of("one", *first), task_of("two", *second)]
    groups, split, tied = Groups.of(tasks), split_of(*tasks, seed=seed), linked(tasks)
    for item, together in tied.items():
        assert len({split[other] for other in together}) == 1
        assert (item in groups.of_items) == (len(together) > 1)
        assert {other for other in groups.of_items if groups.of_items[other] == groups.of_items.get(item)} == (
            together if len(together) > 1 else set()
        )


@given(some=asked, seed=st.integers(0, 100))
def test_items_without_groups_are_drawn_as_ever_and_an_added_item_of_a_group_moves_none(some, seed):
    alone = task_of("one", *((question, None) for question, _ in some))
    contents = {"one": contents_of(alone) | {f"f{i}": f"filling {i}" for i in range(60)}}
    before = Splits.draw(contents, shares=SHARES, seed=seed)
    after = split_of(alone, task_of("two", ("new", "p"), ("newer", "p")), seed=seed)
    assert {item: split for split, items in before.items.items() for item in items if "/f" not in item} == {
        item: split for item, split in after.items() if item.startswith("one/")
    }
    grouped = task_of("one", *((f"{i}{question}", group or "p") for i, (question, group) in enumerate(some)))
    more = task_of("one", *((f"{i}{question}", group or "p") for i, (question, group) in enumerate(some)), ("z", "q"))
    assert split_of(grouped, seed=seed).items() <= split_of(more, seed=seed).items()


def test_task_files_name_groups_which_hold_in_all_tasks_and_measures(tmp_path, tokenizer):
    lines = [{**line, "group": i // 5} for i, line in enumerate(arithmetic(60))]
    write_jsonl(tmp_path / "a.jsonl", lines[:50])
    write_jsonl(tmp_path / "b.jsonl", [{**line, "group": f" {line['group']} ", "question": "b"} for line in lines[:3]])
    sources = ["a.jsonl", "a.jsonl:margin", "b.jsonl"]
    tasks = [task for of_source in load_tasks(sources, TaskContext(tmp_path)).values() for task in of_source]
    suite = make_suite(tasks[:2], tokenizer=tokenizer, shares=SHARES, seed=3)
    assert Counter(Counter(suite.group_of.values()).values()) == {10: 10}  # five items by two measures, ten groups
    for split in SHARES:
        assert len({suite.group_of[item] for item in suite.splits.items[split]}) * 10 == len(suite.splits.items[split])
    of_all = Groups.of(tasks).of_items
    assert of_all["b/" + tasks[2].item_ids[0]] == of_all["a/" + tasks[0].item_ids[0]]
    by_content = make_suite(tasks[:2], tokenizer=tokenizer, shares=SHARES, seed=3, drawn="by_content")
    assert by_content.splits == Splits.draw({t.name: contents_of(t) for t in tasks[:2]}, shares=SHARES, seed=3)
    assert by_content.group_of == suite.group_of


def test_another_key_may_group_a_task_file_and_none_does(tmp_path):
    path = str(
        write_jsonl(tmp_path / "a.jsonl", [{**line, "group": 1, "on": i // 2} for i, line in enumerate(arithmetic(4))])
    )

    def said(field: str) -> list[str]:
        ((task,),) = load_tasks([path], TaskContext(groups={path: field})).values()
        return list(groups_said(task).values())

    assert said("on") == ["0", "0", "1", "1"]
    assert said("group") == ["1"] * 4
    assert said("none") == []
    with pytest.raises(FitnessError, match=r"a\.jsonl: expected the key 'no', which groups items, .* found it on none"):
        said("no")


def test_of_lm_evals_documents_a_field_that_is_known_to_be_shared_groups_them():
    passages = {str(i): {"passage": "Once." if i < 3 else f"{i}", "group": "x", "question": f"{i}"} for i in range(5)}
    assert groups_of_documents("t", passages) == dict(zip("01234", ["Once."] * 3 + ["3", "4"], strict=True))
    turns = {str(i): {"dialogue_id": i // 2, "context": f"{i}"} for i in range(4)}
    assert groups_of_documents("t", turns) == {"0": "0", "1": "0", "2": "1", "3": "1"}
    spoken = {str(i): {"dialogue": [{"said": f"{i // 2}"}]} for i in range(4)}
    assert len(set(groups_of_documents("t", spoken).values())) == 2


@pytest.mark.parametrize("metric", [None, "js_divergence"])
def test_a_task_of_lm_evals_groups_its_documents_by_their_passage(tmp_path, metric):
    lines = [{**line, "passage": f"passage {i // 4}"} for i, line in enumerate(arithmetic(12))]
    (tmp_path / "t.json").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "t.yaml").write_text(DEFINITION.format(name="t", shots=0, file=tmp_path / "t.json"))
    for field, per_group in (("", 4), ("none", 0), ("gold", 4)):
        options = LMEvalOptions(expert="e", group=field)
        (task,) = load_lm_eval_tasks(tmp_path / "t.yaml", metric=metric, options=options)
        assert set(Counter(groups_said(task).values()).values()) == ({per_group} if per_group else set())
    assert groups_said(task)["4"] == str(4 % 3)


@pytest.mark.parametrize("value", ["", " ", None, [], float("nan"), "always the same"])
def test_a_field_without_values_or_with_one_for_all_groups_nothing(value):
    documents = {str(i): {"context": value, "question": f"{i}"} for i in range(3)}
    assert groups_of_documents("t", documents) == {}
    with_premise = {item: {**document, "premise": f"{int(item) // 2}"} for item, document in documents.items()}
    assert groups_of_documents("t", with_premise) == {"0": "0", "1": "0", "2": "1"}


def test_a_field_that_was_asked_for_is_taken_and_one_that_no_document_has_is_refused():
    documents = {str(i): {"topic": i // 2, "context": f"{i}"} for i in range(4)}
    assert groups_of_documents("t", documents, "topic") == {"0": "0", "1": "0", "2": "1", "3": "1"}
    assert groups_of_documents("t", documents, "none") == {}
    with pytest.raises(FitnessError, match=r"task 't', group: .* found 'topik', .* did you mean 'topic'"):
        groups_of_documents("t", documents, "topik")


def function(model, tokenizer):
    return {}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([1], "expected a mapping of its item ids to names, found 'list'"),
        ({"d": 1}, "found 'd' that is none"),
        ({"a": 1.5}, "expected texts or whole numbers as names, found 1.5"),
        ({"a": ""}, "expected texts or whole numbers as names, found ''"),
        ({"a": True}, "expected texts or whole numbers as names, found True"),
    ],
)
def test_groups_of_a_function_name_its_items(monkeypatch, said, message):
    def make() -> PythonTask:
        return PythonTask("mine", function, tokenizer=None, base=None)

    monkeypatch.setattr(function, "item_ids", ("a", "b", "c"), raising=False)
    assert groups_said(make()) == {}
    monkeypatch.setattr(function, "group_of", {"a": 7, "b": "7"}, raising=False)
    together = Groups.of([make()])
    assert set(together.of_items) == set(together.drawn_by) == {"mine/a", "mine/b"}
    assert len(set(together.of_items.values())) == 1
    monkeypatch.setattr(function, "group_of", said)
    with pytest.raises(FitnessError, match=message):
        make()


def test_a_campaigns_field_is_refused_for_a_function():
    with pytest.raises(FitnessError, match="give the function an attribute group_of"):
        load_tasks(["python:a:b"], TaskContext(groups={"python:a:b": "passage"}))
