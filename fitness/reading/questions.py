"""Prompts that parents read: the first search items of each task, or the lines of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fitness.engine.language_model import Completion, NextTokens
from fitness.errors import FitnessError
from fitness.estimation import Objective
from fitness.screening.experts import Prompt
from fitness.screening.screening import draw_prompts
from fitness.tasks.json_lines import LineError, lines_of, object_in, text_of
from fitness.tasks.suite import TaskSuite

# That a parent writes after a prompt, at most: enough for an answer, or the first sentence of one.
ANSWER_TOKENS = 32


@dataclass(frozen=True)
class Questions:
    """What is read, and by whom as far as that is known.

    Attributes:
        prompts: task -> its prompts, at least one; a text to be read as it is, is a `NextTokens`.
        owners: task -> the parent that reads it, where it was said.
        shared: whether every parent reads everything: tasks have no owners then.
    """

    prompts: Mapping[str, tuple[Prompt, ...]]
    owners: Mapping[str, str] = field(default_factory=dict)
    shared: bool = False

    @property
    def unowned(self) -> tuple[str, ...]:
        """The tasks whose owner has to be found."""
        return () if self.shared else tuple(task for task in self.prompts if task not in self.owners)

    def of(self, parent: str, owners: Mapping[str, str]) -> tuple[Prompt, ...]:
        """Return the prompts that a parent reads."""
        return tuple(prompt for task in self.read_by(parent, owners) for prompt in self.prompts[task])

    def read_by(self, parent: str, owners: Mapping[str, str]) -> tuple[str, ...]:
        """Return the tasks whose prompts a parent reads: its own; all of them where it owns none."""
        own = [task for task in self.prompts if not self.shared and owners.get(task) == parent]
        return tuple(own or self.prompts)


def questions_of_tasks(suite: TaskSuite, n: int, owners: Mapping[str, str]) -> Questions:
    """Return the first n search items of each task, as far as they have prompts.

    Raises:
        FitnessError: no search item has a prompt.
    """
    prompts: dict[str, tuple[Prompt, ...]] = {}
    for task in dict.fromkeys(suite.task_of[item] for item in suite.questions(suite.splits.items["search"])):
        drawn = draw_prompts(suite, [Objective(task, (task,))], n, most_tokens=ANSWER_TOKENS)
        if drawn:
            prompts[task] = tuple(drawn.values())
    if not prompts:
        raise FitnessError(
            "statistics: expected search items with prompts, found none: Python tasks run the model themselves; write "
            "`calibration: FILE.jsonl` with prompts for the parents to read"
        )
    return Questions(prompts, {task: owner for task, owner in owners.items() if task in prompts})


def questions_of_file(file: Path, n: int) -> Questions:
    """Return the first n lines of a file: `{"prompt": ...}` is continued, `{"text": ...}` is read; all read all of it.

    Raises:
        FitnessError: the file cannot be read, or a line has neither key; every such line is named.
    """
    found: list[Prompt] = []
    errors = []
    for number, line in list(lines_of(file))[:n]:
        try:
            found.append(_prompt_in(line))
        except LineError as error:
            errors.append(f"{file}:{number}: {error}")
    if errors or not found:
        raise FitnessError("\n".join(errors[:20]) or f"{file}: expected at least one prompt or text, found none")
    return Questions({file.stem: tuple(found)}, shared=True)


def _prompt_in(line: bytes) -> Prompt:
    fields = object_in(line)
    for key in ("prompt", "text"):
        value = fields.get(key)
        if isinstance(value, str) and value.strip():
            text = text_of(value, key)
            return Completion(text, max_new_tokens=ANSWER_TOKENS) if key == "prompt" else NextTokens(text)
    raise LineError('expected {"prompt": ...} or {"text": ...}, a text that is not empty')
