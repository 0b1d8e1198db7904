from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from evomerge.testing.fitness_contract import FitnessContract
from fitness.engine.model.tokenizer import load_tokenizer
from fitness.errors import FitnessError
from fitness.scores import Budget
from fitness.tasks.python_callable import PythonTask, load_function
from fitness.tasks.sources import TaskContext, load_tasks, make_suite
from fitness.tasks.suite import TaskSuite, evaluate_tasks
from tests.fitness.conftest import arithmetic, write_jsonl

LETTERS = '''
def letters(model, tokenizer, items=None):
    """How likely each letter is after itself."""
    import torch
    scores = {}
    for letter in items or "abcdefghijklmnopqrst":
        ids = tokenizer.encode(letter, return_tensors="pt")
        scores[letter] = torch.softmax(model(ids).logits[0, -1], -1)[ids[0, -1]]
    return scores
'''
NOTE = "letters.item_ids = tuple('abcdefghijklmnopqrst')\n"


@pytest.fixture
def letters_file(tmp_path) -> Path:
    path = tmp_path / "checks.py"
    path.write_text(LETTERS + NOTE)
    return path


def image_classes(model, tokenizer):
    images = torch.eye(6).view(6, 1, 2, 3)
    return dict(zip("uvwxyz", model(images).diagonal().tolist(), strict=True))


class PixelClassifier(nn.Module):
    """Six classes of 2 x 3 images."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(6) * torch.arange(6.0))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) @ self.weight


class TestPythonTaskInASuite(FitnessContract):
    @pytest.fixture
    def fitness(self, letters_file, family) -> TaskSuite:
        tokenizer = load_tokenizer(family.base)
        write_jsonl(letters_file.parent / "sums.jsonl", arithmetic(10))
        sources = ["python:checks.py:letters", "sums.jsonl"]
        tasks = load_tasks(sources, TaskContext(letters_file.parent, tokenizer=tokenizer))
        shares = {"search": 0.5, "validation": 0.2, "test": 0.3}
        return make_suite([t for ts in tasks.values() for t in ts], tokenizer=tokenizer, shares=shares, seed=1)

    @pytest.fixture
    def model(self, model: nn.Module) -> nn.Module:
        return model


def task_of(function, *, model: nn.Module | None = None, **attributes: object) -> PythonTask:
    for name, value in attributes.items():
        setattr(function, name, value)

    def base() -> nn.Module:
        assert model is not None, "the base model was asked for"
        return model

    return PythonTask("checks.function", function, tokenizer="a tokenizer", base=base)


def test_a_function_scores_any_module_without_a_language_model():
    model = PixelClassifier()
    task = task_of(image_classes, model=model)
    (result,) = evaluate_tasks(model, [task], language_model=None)
    assert (result.task, result.metric) == ("checks.function", "score")
    assert dict(zip(result.scores.item_ids, result.scores.values, strict=True)) == {
        f"checks.function/{c}": float(i) for i, c in enumerate("uvwxyz")
    }


def test_the_item_ids_are_learnt_from_the_base_model_only_where_the_function_does_not_say_them():
    seen = []

    def function(model, tokenizer):
        seen.append((model, tokenizer))
        return {"a": 1.0}

    model = PixelClassifier()
    assert task_of(function, model=model).item_ids == ("a",)
    assert seen == [(model, "a tokenizer")]
    assert task_of(function, item_ids=["b", "c"]).item_ids == ("b", "c")
    assert len(seen) == 1


def test_only_the_wanted_items_are_asked_for_where_the_function_takes_them():
    asked = []

    def function(model, tokenizer, *, items=("a", "b", "c")):
        asked.append(items)
        return {item: float(ord(item)) for item in items}

    task = task_of(function, model=PixelClassifier())
    assert task.score_model(PixelClassifier(), ["c", "a"]) == [99.0, 97.0]
    assert asked == [("a", "b", "c"), ("c", "a")]


def test_a_function_runs_in_evaluation_mode_without_gradients():
    def function(model, tokenizer):
        return {"training": model.training, "gradients": torch.is_grad_enabled()}

    model = PixelClassifier().train()
    assert task_of(function, model=model).score_model(model, ["training", "gradients"]) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ({"a": 1.0}, "expected scores of 2 items, found 'b' missing"),
        ({"a": 1.0, "b": 1.0, "c": 0.0}, "found 'c' as well"),
        ({"a": math.nan, "b": 1.0}, "expected a finite number for item 'a', found nan"),
        ({"a": "good", "b": 1.0}, "expected a finite number for item 'a', found 'good'"),
        ({"a": None, "b": 1.0}, "found None"),
        ([1.0, 2.0], "expected a dict of item ids and scores, found list"),
    ],
)
def test_what_is_wrong_with_the_scores_names_the_function(returned, message):
    task = task_of(lambda model, tokenizer: returned, item_ids=("a", "b"))
    with pytest.raises(FitnessError, match=f"^checks.function: .*{message}"):
        task.score_model(PixelClassifier(), ["a", "b"])


def test_an_error_of_the_function_is_one_message_but_memory_errors_pass():
    def function(model, tokenizer):
        raise error

    task = task_of(function, item_ids=("a",))
    error: Exception = ZeroDivisionError("oh\nno")
    with pytest.raises(FitnessError, match=r"^checks\.function: the function raised ZeroDivisionError: oh no$"):
        task.score_model(PixelClassifier(), ["a"])
    for error in (MemoryError(), torch.OutOfMemoryError()):
        with pytest.raises(type(error)):
            task.score_model(PixelClassifier(), ["a"])


@pytest.mark.parametrize("ids", [(), ("a", "a"), ("a", 1), ("", "b"), ("a\nb",)])
def test_item_ids_are_different_texts(ids):
    with pytest.raises(FitnessError, match="expected item ids that are different texts of one line"):
        task_of(lambda model, tokenizer: {}, item_ids=ids)


def test_a_module_is_imported_by_its_name(letters_file, monkeypatch):
    monkeypatch.syspath_prepend(str(letters_file.parent))
    monkeypatch.delitem(sys.modules, "checks", raising=False)  # of another test's folder
    (tasks,) = load_tasks(["python:checks:letters"]).values()
    assert tasks[0].name == "checks.letters"
    sys.modules.pop("checks")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("python:none.py:letters", "expected a file, found nothing at"),
        ("python:checks.py:digits", r"expected a function 'digits' in .*checks\.py, found none"),
        ("python:broken.py:letters", "cannot be imported: SyntaxError"),
        ("python:no_such_module_here:letters", "cannot be imported: ModuleNotFoundError.*on PYTHONPATH"),
        ("python:checks.py", r"expected python:MODULE:FUNCTION or python:FILE\.py:FUNCTION"),
    ],
)
def test_a_function_that_cannot_be_loaded_is_one_message(letters_file, source, message):
    (letters_file.parent / "broken.py").write_text("def letters(:\n")
    with pytest.raises(FitnessError, match=f"^task 'python:.*{message}"):
        load_tasks([source], TaskContext(letters_file.parent))


def test_without_a_base_model_a_function_must_say_its_items(letters_file):
    letters_file.write_text(LETTERS)
    with pytest.raises(FitnessError, match="expected a function with an attribute item_ids"):
        load_tasks(["python:checks.py:letters"], TaskContext(letters_file.parent))


def test_dataclasses_work_in_a_task_file(tmp_path):
    path = tmp_path / "checks.py"
    path.write_text(
        "from __future__ import annotations\nimport dataclasses\n"
        "@dataclasses.dataclass\nclass A:\n    x: int\n"
        "def f(model, tokenizer):\n    return {'a': A(3).x}\n"
    )
    assert load_function(str(path), "f")(None, None) == {"a": 3}


def test_a_suite_without_tokenizer_refuses_tasks_that_ask(tmp_path):
    write_jsonl(tmp_path / "sums.jsonl", arithmetic(20))
    (tasks,) = load_tasks(["sums.jsonl"], TaskContext(tmp_path)).values()
    with pytest.raises(FitnessError, match="task 'sums': expected a model with a tokenizer, found one without"):
        make_suite(tasks, tokenizer=None, shares={"search": 0.5, "test": 0.5}, seed=0)


def test_a_suite_of_functions_needs_no_tokenizer():
    model = PixelClassifier()
    task = task_of(image_classes, model=model)
    suite = make_suite([task], tokenizer=None, shares={"search": 0.5, "test": 0.5}, seed=0)
    assert suite.evaluate(model, Budget("test")).item_ids == suite.splits.items["test"]
