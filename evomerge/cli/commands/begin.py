"""`evomerge init`: a campaign file for models and tasks."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from evomerge.cli.terminal import make_console, print_warnings

TASKS = "--tasks"


class TasksInARow(TyperCommand):
    """A command whose `--tasks a b c` takes all that follows, up to the next option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read arguments as if the option stood before each of its values."""
        read, within = list[str](), False
        for argument in args:
            if argument.startswith("-"):
                within = argument == TASKS
                read += [] if within else [argument]
            else:
                read += [TASKS, argument] if within else [argument]
        return super().parse_args(ctx, [*read, TASKS] if args[-1:] == [TASKS] else read)


def init(
    models: Annotated[
        list[str] | None, typer.Argument(help="Two or more checkpoints: directories or hub ids.", show_default=False)
    ] = None,
    *,
    base: Annotated[str | None, typer.Option(help="The model that they were fine-tuned from.")] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            TASKS, help="JSONL or lm-eval YAML files, lm-eval names as arc_easy@validation; several in a row."
        ),
    ] = None,
    goal: Annotated[
        str,
        typer.Option(help="balanced: the mean of all tasks; one: the first, no great loss of others; front: apart."),
    ] = "balanced",
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("campaign.yaml"),
    from_file: Annotated[
        Path | None, typer.Option("--from", help="A mergekit-evolve file to make the campaign of.", show_default=False)
    ] = None,
) -> None:
    """Write a campaign file: the small one for these models, tasks and this machine.

    Without --tasks it has a comment on every key, and example tasks to replace; with --from it is the one for a
    mergekit-evolve file. Beside it lies the schema for editors.
    """
    from evomerge.api import beginning
    from evomerge.api.looking import remarks

    console, said = make_console(), shlex.quote(str(out))
    beginning.init(models or (), base, tasks=tasks or (), goal=goal, out=out, from_file=from_file)  # type: ignore[arg-type]
    if from_file is None:
        for subject, line in remarks(models or (), base):
            console.print(line, subject=subject, whole=True)
    else:
        text = out.read_text(encoding="utf-8")
        print_warnings(line.removeprefix("# - ") for line in text.splitlines() if line.startswith("# - "))
    todo = "now" if tasks or from_file else "put your tasks in it, then"
    console.print(f"wrote {out}; {todo}\n  evomerge plan {said}\n  evomerge run {said}", whole=True)
