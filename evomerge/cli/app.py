"""The command line: `evomerge --help`.

Exit codes: 0 done; 1 the work failed, with one clear message; 2 wrong usage or campaign file, with every error at once.
What each command does is in `evomerge.cli.commands`, imported when it is called, so that `--help` is quick.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from evomerge.version import __version__

app = typer.Typer(
    name="evomerge",
    help="Evolutionary search for the best merge of language models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
RunDir = Annotated[Path, typer.Argument(help="The directory of a run.", show_default=False)]
CampaignFile = Annotated[Path, typer.Argument(metavar="CAMPAIGN.yaml", help="The campaign file.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the file, as budget.hours=2; may be repeated."),
]
Optimiser = Annotated[
    str | None,
    typer.Option(
        "--optimiser", "--optimizer", metavar="KIND", help="Search with this optimiser, its options left out."
    ),
]


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


@app.command()
def init(
    models: Annotated[list[str], typer.Argument(help="Two or more checkpoints: directories or hub ids.")],
    base: Annotated[str | None, typer.Option(help="The model that they were fine-tuned from.")] = None,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("campaign.yaml"),
) -> None:
    """Write a commented campaign file for these models."""
    from evomerge.cli.commands import setup

    setup.init(models, base, out, _console())


@app.command()
def plan(campaign: CampaignFile, overrides: Set = None, optimiser: Optimiser = None) -> None:
    """Check a campaign: parents, genes, and the measured cost of one candidate in time, memory and disk."""
    from evomerge.api.search import read_campaign
    from evomerge.cli.commands import setup

    setup.plan(read_campaign(campaign, overrides or (), optimiser=optimiser), _console())


@app.command()
def run(
    campaign: Annotated[
        Path, typer.Argument(metavar="CAMPAIGN.yaml|RUN_DIR", help="A campaign file, or a run to go on with.")
    ],
    *,
    run_dir: Annotated[Path | None, typer.Option(help="Where to keep the run; default: runs/NAME.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Workers; more than one makes a Ray pool.")] = None,
    evaluations: Annotated[int | None, typer.Option(min=1, help="Candidates in all, landmarks included.")] = None,
    overrides: Set = None,
    optimiser: Optimiser = None,
) -> None:
    """Start a search, or resume the one in the run directory.

    Ctrl-C finishes and saves what is running; the same command goes on from there.
    """
    from evomerge.api.search import read_campaign
    from evomerge.cli.commands import search

    config = read_campaign(campaign, overrides or (), optimiser=optimiser, evaluations=evaluations, workers=workers)
    default = campaign if campaign.is_dir() else Path("runs") / config.name
    search.run(config, run_dir or default, _console())


@app.command()
def reduce(
    campaign: CampaignFile,
    out: Annotated[Path, typer.Option(help="The JSON file to write; rows are kept beside it.", show_default=False)],
    models: Annotated[int, typer.Option(min=10, help="Models to score, landmarks included.")] = 100,
    items: Annotated[
        int | None, typer.Option(min=1, help="Items per candidate; default: 30 per task, at most half of them.")
    ] = None,
    matrix: Annotated[
        Path | None, typer.Option(help="Scores of yours, models x items: Parquet, CSV or JSON; nothing is scored then.")
    ] = None,
    *,
    anchors: Annotated[
        str | None,
        typer.Option(
            help="How items are chosen: uniform, stratified, responses, parameters or information; default: the one"
            " that predicts held-out models best."
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Workers; more than one makes a Ray pool.")] = None,
) -> None:
    """Make a small benchmark of a campaign's search items, and report whether it is better than random items.

    Landmarks and random merges of the campaign's space are scored on all search items; each row is kept as it comes,
    so the same command goes on where it was stopped. A matrix of yours is a table with a column `model` and one
    column per item (`task/item`), or with the columns model, item and score.
    """
    from evomerge.api.search import read_campaign
    from evomerge.cli.commands import reduce
    from fitness.reduction.anchors import METHODS

    if anchors is not None and anchors not in METHODS:
        raise typer.BadParameter(f"expected one of {', '.join(METHODS)}, found {anchors!r}", param_hint="--anchors")
    reduce.reduce(
        read_campaign(campaign, workers=workers),
        out,
        _console(),
        models=models,
        items=items,
        matrix=matrix,
        anchors=anchors,
    )


@app.command()
def pareto(run_dir: RunDir, as_json: AsJson = False) -> None:
    """Show the Pareto front on search items: candidates, objectives with standard errors, recipes.

    The knee is the front point farthest from the line (plane) through the extreme points, each objective scaled to
    [0, 1] over the front.
    """
    from evomerge.api.run import load
    from evomerge.cli.commands import results

    results.pareto(load(run_dir), _console(), as_json=as_json)


@app.command()
def export(
    run_dir: RunDir,
    out: Annotated[Path, typer.Option(help="The directory to write; must not exist.", show_default=False)],
    pick: Annotated[
        str,
        typer.Option(
            help="knee: the front point farthest from the line (plane) through the extreme points; best: highest mean;"
            " best:OBJECTIVE; winner: what `verify` picked; or a candidate's NUMBER."
        ),
    ] = "knee",
) -> None:
    """Write a candidate as an ordinary Hugging Face checkpoint with a model card."""
    from evomerge.api.run import load
    from evomerge.cli.commands import results

    results.export(load(run_dir), _console(), choice=pick, out=out)


@app.command()
def verify(
    run_dir: RunDir,
    top: Annotated[int, typer.Option(min=1, help="How many candidates validation items choose from.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Score the best candidates, every parent and the baselines on held-out items.

    Validation items choose one winner per pick (best, knee, best:OBJECTIVE); paired differences on test items tell
    whether each is better than every parent, a true trade-off, or not shown to be better.
    """
    from evomerge.api.run import load
    from evomerge.cli.commands import results

    results.verify(load(run_dir), _console(), top=top, as_json=as_json)


@app.command()
def report(run_dir: RunDir) -> None:
    """Write report.html, one self-contained page, and its figures as PNG; also while the search runs."""
    from evomerge.api.run import load
    from evomerge.cli.commands import results

    results.report(load(run_dir), _console())


@app.command()
def merge(
    recipe: Annotated[Path, typer.Argument(help="mergekit YAML, or a recipe of ours as JSON.", show_default=False)],
    out_dir: Annotated[Path, typer.Argument(help="The directory to write; must not exist.", show_default=False)],
    *,
    as_adapter: Annotated[
        bool, typer.Option("--as-adapter", help="Write a merge of LoRA adapters as one adapter on their base.")
    ] = False,
    rank: Annotated[
        int | None, typer.Option(min=1, help="With --as-adapter: the largest rank; left out, the parents' ranks added.")
    ] = None,
) -> None:
    """Carry out one recipe, without a search."""
    from evomerge.cli.commands import merge

    if rank is not None and not as_adapter:
        raise typer.BadParameter("needs --as-adapter", param_hint="--rank")
    merge.merge(recipe, out_dir, _console(), as_adapter=as_adapter, rank=rank)


@app.command(name="eval")
def evaluate(  # noqa: PLR0913
    model: Annotated[str, typer.Argument(help="A checkpoint: directory or hub id.", show_default=False)],
    tasks: Annotated[
        list[str],
        typer.Option("--tasks", help="JSONL or lm-eval YAML files, lm-eval task names, python:FILE.py:FUNCTION; a,b."),
    ],
    more_tasks: Annotated[list[str] | None, typer.Argument(metavar="[TASK]...", help="Further tasks.")] = None,
    *,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first items of each task.")] = None,
    num_fewshot: Annotated[int | None, typer.Option(min=0, help="Few-shot examples of lm-eval tasks.")] = None,
    apply_chat_template: Annotated[
        bool, typer.Option("--apply-chat-template", help="Ask in the tokenizer's chat template.")
    ] = False,
    chat_template: Annotated[
        str | None, typer.Option(metavar="NAME", help="The same, with this one of several templates.")
    ] = None,
    system_instruction: Annotated[str | None, typer.Option(help="The chat's system message.")] = None,
    fewshot_as_multiturn: Annotated[
        bool, typer.Option(help="With a chat template: examples are turns of the chat.")
    ] = True,
    out: Annotated[Path | None, typer.Option(help="A file for what --json prints.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score one checkpoint on whole tasks, with every metric and the table of lm-eval; with --json every item too."""
    from evomerge.cli.commands import models

    prompts = {
        "apply_chat_template": chat_template or apply_chat_template,
        "system_instruction": system_instruction,
        "fewshot_as_multiturn": fewshot_as_multiturn,
        "num_fewshot": num_fewshot,
    }
    asked = [task for several in (*tasks, *(more_tasks or [])) for task in _split(several)]
    models.evaluate(model, asked, _console(), as_json=as_json, out=out, prompts=prompts, limit=limit)


@app.command(
    name="lm-eval",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False},
)
def lm_eval(context: typer.Context) -> None:
    """Run lm-eval's own command line, with our engine as `--model evomerge`.

    Everything after `lm-eval` is lm-eval's: `evomerge lm-eval run --model evomerge --model_args pretrained=MODEL
    --tasks TASK`.
    """
    from evomerge.cli.commands import models

    models.lm_eval(context.args)


@app.command()
def doctor() -> None:
    """Show versions, devices, memory and disk, and what is outside the tested range."""
    from evomerge.cli.commands import setup

    if not setup.doctor(_console()):
        raise typer.Exit(1)


def _split(tasks: str) -> list[str]:
    """Return the tasks of `a,b`; a filter of lm-eval's, `task:metric,filter`, has a comma of its own."""
    return [tasks] if ":" in tasks or Path(tasks).exists() else [task for task in tasks.split(",") if task]


def main() -> None:
    """Run the command line."""
    _show_notes()
    guarded(app)


def _show_notes() -> None:
    """Print what the rooms below have to say while they work: how a model must be run, that kernels are compiled."""
    for room, level in (("fitness", logging.WARNING), ("search_spaces", logging.INFO)):
        notes = logging.StreamHandler()
        notes.setFormatter(logging.Formatter("note: %(message)s"))
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
        _fail(str(error), code)


def _fail(message: str, code: int) -> None:
    Console(stderr=True).print(message, style="red", highlight=False, markup=False, soft_wrap=True)
    sys.exit(code)


def _console() -> Console:
    from evomerge.cli.terminal import make_console

    return make_console()


if __name__ == "__main__":
    main()
