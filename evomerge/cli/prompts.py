"""Prompts and parents' answers, printed as text, whatever is in them."""

from __future__ import annotations

from collections.abc import Sequence

from evomerge.assembly.parents_answers import SHOWN, ParentsAnswers
from evomerge.cli.terminal import Terminal, indented
from evomerge.visible import visible


def print_parents_answers(found: Sequence[ParentsAnswers], console: Terminal) -> None:
    """Print one whole prompt of each task, and what every parent answers to three items."""
    for task in found:
        for number, (item, asked) in enumerate(list(task.asked.items())[:SHOWN]):
            if number == 0:
                console.print(f"{task.task}: a whole prompt, between the bars", whole=True)
                console.print(indented("prompt", f"|{asked.prompt}|"), whole=True)
            answers = ", ".join(
                f"{name} {_short(of_it[item][0])} ({of_it[item][1]:g})"
                for name, of_it in task.answers.items()
                if item in of_it
            )
            right = f"right {_short(asked.gold)}; " if asked.gold else ""
            console.print(f"  {visible(item)}: {right}{answers}", whole=True)
        if task.caution:
            console.print(f"  note: {task.task}: {task.caution}", whole=True)


def _short(text: str) -> str:
    line = visible(" ".join(text.split()))
    return repr(line if len(line) <= 60 else f"{line[:59]}…")
