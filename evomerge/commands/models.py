"""`evomerge eval` and `lm-eval`: one checkpoint, no search."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from evomerge.errors import require

if TYPE_CHECKING:
    from fitness.tasks.prompts import Prompts


def evaluate(
    model: str,
    tasks: Sequence[str],
    console: Console,
    *,
    as_json: bool,
    out: Path | None = None,
    prompts: Prompts | None = None,
    limit: int | None = None,
) -> None:
    """Score one checkpoint on whole tasks: print a table as lm-eval does, or JSON with every item's values.

    An lm-eval task is measured by all of its metrics, or by the one that follows its name after a colon.
    """
    require("lm_eval", "lm-eval")
    from evomerge.assembly.live_models import load_checkpoint
    from fitness.engine.lm_eval_backend import EngineLM
    from fitness.engine.tokenizer import load_tokenizer
    from fitness.engine.trie import TrieLanguageModel
    from fitness.tasks.lm_eval_results import as_rows, as_table, evaluate_all_metrics, with_our_tasks
    from fitness.tasks.prompts import Prompts
    from fitness.tasks.sources import TaskContext, load_tasks
    from fitness.tasks.suite import evaluate_tasks
    from fitness.tasks.task_source import TaskSource

    sources = {text: TaskSource.parse(text) for text in tasks}
    whole = [source for source in sources.values() if source.kind in ("yaml", "lm_eval") and not source.detail]
    ours = [text for text, source in sources.items() if source not in whole]
    module, parents = load_checkpoint(model)
    tokenizer = load_tokenizer(parents["model"].directory)
    prompts = prompts or Prompts()
    context = TaskContext(prompts=prompts, tokenizer=tokenizer, base=lambda: module)
    loaded = [task for group in load_tasks(ours, context).values() for task in group]
    results = evaluate_all_metrics(
        [Path(source.place).expanduser() if source.is_file else source.place for source in whole],
        EngineLM(module, tokenizer, chat_template_args=prompts.template_arguments),
        prompts=prompts,
        limit=limit,
    )
    scored = evaluate_tasks(module, loaded, language_model=TrieLanguageModel(tokenizer), limit=limit)
    results = with_our_tasks(results, scored)
    document = json.dumps({"model": model, "tasks": as_rows(results)}, indent=2, default=str)
    if out is not None:
        out.write_text(document + "\n", encoding="utf-8")
    if as_json:
        print(document)
    else:
        console.print(as_table(results), highlight=False, markup=False, soft_wrap=True)


def lm_eval(arguments: Sequence[str]) -> None:
    """Run lm-eval's own command line, with the engine as `--model evomerge`."""
    require("lm_eval", "lm-eval")
    from fitness.engine.lm_eval_backend import run_command_line

    run_command_line(arguments)
