"""The command line: `evomerge --help`.

Exit codes: 0 done; 1 the work failed, with one clear message; 2 wrong usage or campaign file, with every error at once.
What each command does is in `evomerge.cli.commands`; what it needs is imported when it is called: `--help` is quick.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from evomerge.cli.commands import models, plan, reduce, results, search
from evomerge.cli.terminal import Terminal
from evomerge.version import __version__
from evomerge.visible import VisibleFormatter

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
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Evolutionary search for the best merge of language models."""


_OF_LM_EVAL = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}
app.command()(search.init)
app.command()(plan.plan)
app.command()(search.run)
app.command()(reduce.reduce)
app.command()(results.pareto)
app.command()(results.export)
app.command()(results.verify)
app.command()(results.report)
app.command()(models.merge)
app.command(name="eval")(models.evaluate)
app.command(name="lm-eval", add_help_option=False, context_settings=_OF_LM_EVAL)(models.lm_eval)
app.command()(search.doctor)


def main() -> None:
    """Run the command line."""
    sys.path.append(os.getcwd())  # plug-ins beside the campaign, as `python -m` finds them; installed ones come first
    _show_notes()
    guarded(app)


def _show_notes() -> None:
    """Print what the rooms below have to say while they work: how a model must be run, that kernels are compiled."""
    for room, level in (("fitness", logging.WARNING), ("search_spaces", logging.INFO)):
        notes = logging.StreamHandler()
        notes.setFormatter(VisibleFormatter("note: %(message)s"))
        notes.setLevel(level)
        logging.getLogger(room).addHandler(notes)
        logging.getLogger(room).setLevel(logging.INFO)


def guarded(work: Callable[[], object]) -> None:
    """Do some work; every expected error becomes one message and an exit code."""
    try:
        work()
    except Exception as error:
        from evomerge.errors import exit_code

        code = exit_code(error)
        if code is None:
            raise
        Terminal(stderr=True).print(str(error), style="red", whole=True)
        sys.exit(code)


if __name__ == "__main__":
    main()
