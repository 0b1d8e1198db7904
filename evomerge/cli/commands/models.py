"""`evomerge merge`, `eval` and `lm-eval`: one recipe or checkpoint, no search."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from evomerge.cli.commands.results import AsJson
from evomerge.cli.commands.search import AllowDifferences, Trust, listed
from evomerge.cli.terminal import make_console, print_note, print_warnings
from evomerge.errors import require
from evomerge.whole_file import prepared_file
from fitness.tasks.task_source import FILES


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
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse keys of mergekit's file that have no effect, instead of warning.")
    ] = False,
    allow_differences: AllowDifferences = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Copy code that lies beside the base; it is not run.")
    ] = False,
    card: Annotated[bool, typer.Option(help="Write README.md and mergekit_config.yml, as mergekit does.")] = True,
) -> None:
    """Carry out one recipe, or several in one file that name each other, without a search."""
    from evomerge.api.merging import merge

    if rank is not None and not as_adapter:
        raise typer.BadParameter("needs --as-adapter", param_hint="--rank")
    console = make_console()
    done = merge(
        recipe,
        out_dir,
        as_adapter=as_adapter,
        rank=rank,
        strict=strict,
        allow_differences=listed(allow_differences),
        trust_remote_code=trust_remote_code,
        card=card,
        callbacks=print_note(console),
    )
    print_warnings(done.notes)
    if not as_adapter:
        console.print(f"merged model: {done.directory}", whole=True)
        return
    loss = "exact: the parents' ranks add up"
    if done.error > 0.0:
        name, share = done.worst
        loss = f"reconstruction error {done.error:.2%} of the change's norm, {share:.2%} in {name}"
    console.print(f"merged adapter: {done.directory} (rank {done.rank}, {loss})", whole=True)


def evaluate(  # noqa: PLR0913
    model: Annotated[str, typer.Argument(help="A checkpoint: directory or hub id.", show_default=False)],
    tasks: Annotated[
        list[str],
        typer.Option(
            "--tasks",
            help="JSONL, CSV, Parquet or lm-eval YAML files, lm-eval task names, hf:DATASET@SPLIT, "
            "python:FILE.py:FUNCTION; a,b.",
        ),
    ],
    more_tasks: Annotated[list[str] | None, typer.Argument(metavar="[TASK]...", help="Further tasks.")] = None,
    *,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first items of each task.")] = None,
    num_fewshot: Annotated[
        str | None, typer.Option(metavar="N", help="Few-shot examples of lm-eval tasks; or mmlu=5,gsm8k=8.")
    ] = None,
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
    questions: Annotated[
        list[str] | None,
        typer.Option("--ask", metavar="KEY=VALUE", help="How task files are asked, as match=number; may be repeated."),
    ] = None,
    trust_tasks: Trust = False,
    run_model_code: Annotated[
        bool, typer.Option("--run-model-code", help="Score tasks that run what models write, in a sandbox.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="A file for what --json prints.")] = None,
    log_answers: Annotated[
        Path | None,
        typer.Option(metavar="FILE.jsonl", help="A file for prompts and answers of tasks that are not lm-eval's own."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score one checkpoint on whole tasks, with every metric and the table of lm-eval; with --json every item too."""
    from evomerge.api.scoring import evaluate
    from evomerge.config.code import file_of
    from evomerge.config.overrides import with_overrides

    prompts = {
        "apply_chat_template": chat_template or apply_chat_template,
        "system_instruction": system_instruction,
        "fewshot_as_multiturn": fewshot_as_multiturn,
        "num_fewshot": None if num_fewshot is None else _examples(num_fewshot),
    }
    asked = [task for several in (*tasks, *(more_tasks or [])) for task in _split(several)]
    files = {place.resolve() for task in asked if (place := file_of(task)) is not None}
    for option, file in (("--out", out), ("--log-answers", log_answers)):
        if file is not None and file.resolve() in files:
            raise typer.BadParameter("is the file of a task; name another", param_hint=option)
    write = None if out is None else prepared_file(out)
    log = None if log_answers is None else prepared_file(log_answers)
    scores = evaluate(
        model,
        asked,
        limit=limit,
        prompts=prompts,
        questions=with_overrides({}, questions or []),
        trust_tasks=trust_tasks,
        run_model_code=run_model_code,
    )
    document = json.dumps(scores.to_dict(), indent=2, default=str)
    if as_json:
        print(document)
    else:
        make_console().print(scores.table, whole=True)
    if write is not None:  # last: what was computed is seen even where the disk is full by now
        write(document + "\n")
    if log is not None:
        log("".join(json.dumps(asdict(answer)) + "\n" for answer in scores.answers))


def lm_eval(context: typer.Context) -> None:
    """Run lm-eval's own command line, with our engine as `--model evomerge`.

    Everything after `lm-eval` is lm-eval's: `evomerge lm-eval run --model evomerge --model_args pretrained=MODEL
    --tasks TASK`; but for `--trust-tasks`, which lets task files of somebody else's run directory run their code.
    """
    from evomerge.campaign.trust import check_files
    from evomerge.config.lm_eval_arguments import named_task_files

    require("lm_eval", "lm-eval")
    arguments = [argument for argument in context.args if argument != "--trust-tasks"]
    check_files(named_task_files(arguments), trust=len(arguments) < len(context.args))
    from evomerge.workers.sharing import sharing_cores
    from fitness.engine.lm_eval.lm_eval_backend import run_command_line

    with sharing_cores():
        run_command_line(arguments)


def _examples(text: str) -> int | dict[str, int]:
    """Return the few-shot examples of all tasks, or of each, as in `mmlu=5,gsm8k=8`."""
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(number.isdecimal() and name for name, equals, number in pairs if equals) or (
        any(not equals for _, equals, _ in pairs) and not text.isdecimal()
    ):
        raise typer.BadParameter(f"expected a number, or TASK=N,TASK=N, found {text!r}", param_hint="--num-fewshot")
    return int(text) if text.isdecimal() else {name: int(number) for name, _, number in pairs}


def _split(tasks: str) -> list[str]:
    """Return the tasks of `a,b`; a filter of lm-eval's, `task:metric,filter`, has a comma of its own."""
    if Path(tasks).exists():
        return [tasks]
    found: list[str] = []
    for part in filter(None, tasks.split(",")):
        before = found[-1] if found else ""
        has_filter = ":" not in before or "," in before or before.startswith("python:")
        if has_filter or ":" in part or "@" in part or part.startswith("hf:") or part.endswith(FILES):
            found.append(part)
        else:
            found[-1] = f"{before},{part}"
    return found
