from __future__ import annotations

import json
import shutil

import pytest

from fitness.protocols import ModelTask
from fitness.tasks.contents import contents_of, equal_items
from fitness.tasks.items import Task, Text
from fitness.tasks.lm_eval_tasks import load_lm_eval_tasks
from fitness.tasks.prompts import Prompts
from fitness.tasks.sources import TaskContext, load_tasks, make_suite
from tests.fitness.conftest import arithmetic, write_jsonl

SHARES = {"search": 0.5, "validation": 0.2, "test": 0.3}


def tasks_in(directory, *sources: str, **context: object) -> list:
    loaded = load_tasks(sources, TaskContext(directory, **context))
    return [task for group in loaded.values() for task in group]


def splits_of(tasks, tokenizer) -> dict[str, str]:
    """What an item asks -> its split."""
    suite = make_suite(tasks, tokenizer=tokenizer, shares=SHARES, seed=1)
    contents = {f"{task.name}/{item}": asked for task in tasks for item, asked in contents_of(task).items()}
    return {contents[item]: split for split, items in suite.splits.items.items() for item in items}


def test_what_is_asked_is_the_question_and_its_choices_in_any_order_whatever_id_gold_and_prompt(tmp_path):
    line = {"question": "1 + 1 =", "choices": ["2", "3", "4"], "gold": 0}
    other = {"id": "b", "question": " 1 + 1 =", "choices": ["4", " 2", "3"], "gold": 1, "delimiter": "", "source": "x"}
    more = [{**line, "question": "1 + 2 ="}, {**line, "choices": ["2", "3", "5"]}]
    write_jsonl(tmp_path / "a.jsonl", [line, other, *more])
    (plain,) = tasks_in(tmp_path, "a.jsonl")
    (framed,) = tasks_in(tmp_path, "a.jsonl", prompts=Prompts(system_instruction="be brief."))
    first, second, *others = contents_of(plain).values()
    assert first == second
    assert len({first, *others}) == 3
    assert contents_of(framed) == contents_of(plain)
    assert framed.requests("b") != plain.requests("b")


def test_a_copy_under_another_name_has_the_same_splits_and_is_told_with_the_count(tmp_path, tokenizer, caplog):
    write_jsonl(tmp_path / "a.jsonl", arithmetic(40))
    write_jsonl(tmp_path / "c.jsonl", [{**line, "id": f"own {i}"} for i, line in enumerate(arithmetic(50)[::-1])])
    (tmp_path / "d.jsonl").symlink_to(tmp_path / "a.jsonl")
    a, c, d = tasks_in(tmp_path, "a.jsonl", "c.jsonl", "d.jsonl")
    alone = splits_of([a], tokenizer)
    caplog.clear()
    assert splits_of([c, d, a], tokenizer).items() > alone.items()
    assert caplog.messages == [
        "tasks 'c' and 'd': 40 equal items: they ask the same in both",
        "tasks 'c' and 'a': 40 equal items: they ask the same in both",
        "tasks 'd' and 'a': 40 equal items: they ask the same in both",
    ]


def test_a_prepended_line_moves_no_item_and_changes_no_id(tmp_path, tokenizer):
    write_jsonl(tmp_path / "a.jsonl", arithmetic(40))
    (before,) = tasks_in(tmp_path, "a.jsonl")
    write_jsonl(tmp_path / "a.jsonl", [{"question": "new", "choices": ["a", "b"], "gold": 0}, *arithmetic(40)])
    (after,) = tasks_in(tmp_path, "a.jsonl")
    assert after.item_ids[1:] == before.item_ids
    assert splits_of([after], tokenizer).items() > splits_of([before], tokenizer).items()


def test_duplicates_within_a_task_are_counted_and_measures_of_one_task_are_no_duplicates(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [*arithmetic(12), *arithmetic(2)])
    assert equal_items(tasks_in(tmp_path, "a.jsonl", "a.jsonl:margin")) == [
        "task 'a': 2 of its 14 items are duplicates: they ask the same as another"
    ]


def test_of_many_pairs_of_tasks_three_are_named():
    tasks = [Task(name, (Text("1", "the same"), Text("2", name))) for name in "abcd"]
    said = equal_items(tasks)
    assert said[-1] == "equal items in 3 more pairs of tasks"
    assert len(said) == 4


def test_nothing_is_known_of_what_a_python_task_asks_but_its_ids():
    class Runs:
        name, metric, item_ids = "runs", "score", ("a", "b")

        def score_model(self, model, item_ids):
            return [0.0] * len(item_ids)

    task = Runs()
    assert isinstance(task, ModelTask)
    assert len(set(contents_of(task).values())) == 2
    assert equal_items([task, task]) == []


DEFINITION = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: choices
doc_to_target: gold
num_fewshot: {shots}
fewshot_config: {{sampler: first_n, split: test}}
"""


@pytest.fixture
def lm_eval_tasks(tmp_path, monkeypatch):
    """Loads lm-eval tasks of the same lines: in their order without examples, reversed with two examples."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    lines = arithmetic(30)
    for name, shots, of_file in (("plain", 0, lines), ("shots", 2, lines[::-1])):
        (tmp_path / f"{name}.json").write_text("\n".join(map(json.dumps, of_file)))
        text = DEFINITION.format(name=name, shots=shots, file=tmp_path / f"{name}.json")
        (tmp_path / f"{name}.yaml").write_text(text)
    return [load_lm_eval_tasks(tmp_path / f"{name}.yaml")[0] for name in ("plain", "shots")]


def test_lm_evals_documents_are_split_by_what_they_ask_whatever_their_number_and_examples(lm_eval_tasks, tokenizer):
    plain, shots = lm_eval_tasks
    assert plain.requests("3") != shots.requests("26")
    assert contents_of(plain)["3"] == contents_of(shots)["26"]
    assert len(set(contents_of(plain).values())) == 30
    assert splits_of([plain], tokenizer) == splits_of([shots], tokenizer)
    assert equal_items(lm_eval_tasks) == ["tasks 'plain' and 'shots': 30 equal items: they ask the same in both"]


def test_a_task_file_and_an_lm_eval_task_of_the_same_questions_are_split_alike(lm_eval_tasks, tmp_path, tokenizer):
    write_jsonl(tmp_path / "lines.jsonl", arithmetic(30))
    (own,) = tasks_in(tmp_path, "lines.jsonl")
    plain, _ = lm_eval_tasks
    assert splits_of([own], tokenizer) == splits_of([plain], tokenizer)
    assert equal_items([own, plain]) == ["tasks 'lines' and 'plain': 30 equal items: they ask the same in both"]


def test_a_file_and_a_file_that_was_moved_are_split_alike(tmp_path, tokenizer):
    write_jsonl(tmp_path / "a.jsonl", arithmetic(40))
    (tmp_path / "deeper").mkdir()
    shutil.copy(tmp_path / "a.jsonl", tmp_path / "deeper" / "b.jsonl")
    one, other = tasks_in(tmp_path, "a.jsonl", "deeper/b.jsonl")
    assert splits_of([one], tokenizer) == splits_of([other], tokenizer)
