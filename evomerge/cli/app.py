"""The command line: `evomerge --help`.

Exit codes: 0 done; 1 the work failed, with one clear message; 2 wrong usage or campaign file, all at once; 130 stopped
by Ctrl-C or another signal, once what ran is saved, or by a second one at once.
What each command does is in `evomerge.cli.commands`; what it needs is imported when it is called: `--help` is quick.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from typing import Annotated

import typer

from evomerge.api.signals import repeating_lost_interrupts
from evomerge.cli.commands import (
    answers,
    archive,
    begin,
    models,
    plan,
    prefetch,
    publish,
    reduce,
    results,
    search,
    studio,
)
from evomerge.cli.terminal import Terminal, beside_us
from evomerge.version import __version__

# Of libraries that are imported later: nothing is reported to anybody, and no native code comes from the hub.
_SILENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "USE_HUB_KERNELS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
# What they draw and log does not run into our lines: their errors reach the user as ours do.
_QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "HF_HUB_VERBOSITY": "error",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}

# These import nothing that a file names: modules beside a downloaded run are out of their reach.
_LOOK_ONLY = ("init", "pareto", "answers", "export", "report", "archive", "studio", "track", "push", "doctor")

app = typer.Typer(
    name="evomerge",
    help="Evolutionary search for the best merge of language models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"evomerge {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Evolutionary search for the best merge of language models."""
    del version  # its callback has printed it
    if context.invoked_subcommand not in _LOOK_ONLY:
        beside_us()


_OF_LM_EVAL = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}
app.command(cls=begin.TasksInARow)(begin.init)
app.command()(plan.plan)
app.command()(prefetch.prefetch)
app.command()(search.run)
app.command()(reduce.reduce)
app.command()(results.pareto)
app.command()(answers.answers)
app.command()(results.export)
app.command()(results.verify)
app.command()(results.report)
app.command()(studio.studio)
app.command()(publish.track)
app.command()(publish.push)
app.add_typer(archive.app)
app.command()(models.merge)
app.command(name="eval")(models.evaluate)
app.command(name="lm-eval", add_help_option=False, context_settings=_OF_LM_EVAL)(models.lm_eval)
app.command()(search.doctor)


def main() -> None:
    """Run the command line."""
    for name, value in {**_SILENT, **_QUIET}.items():
        os.environ.setdefault(name, value)
    with contextlib.ExitStack() as until_done:
        for room, level in (("fitness", logging.WARNING), ("search_spaces", logging.INFO)):
            until_done.enter_context(_notes_of(room, level))
        until_done.enter_context(repeating_lost_interrupts())
        guarded(app)


@contextlib.contextmanager
def _notes_of(room: str, level: int) -> Iterator[None]:
    """Print what a room below has to say while it works: how a model must be run, that kernels are compiled."""
    notes, logger = _Notes(level), logging.getLogger(room)
    before = logger.level
    logger.addHandler(notes)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(notes)
        logger.setLevel(before)


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        Terminal(stderr=True).print(f"note: {record.getMessage()}", whole=True)


def guarded(work: Callable[[], object]) -> None:
    """Do some work; every expected error becomes one message and an exit code."""
    try:
        work()
    except Exception as error:
        from evomerge.errors import exit_code, message_of, no_memory

        code = exit_code(error)
        told = no_memory(error) if code is None else message_of(error)
        if told is None:
            raise
        Terminal(stderr=True).print(told, style="red", whole=True)
        sys.exit(code or 1)


if __name__ == "__main__":
    main()
