"""`evomerge eval` and `lm-eval`: one checkpoint, no search."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from evomerge.api.scoring import evaluate as score
from evomerge.errors import require


def evaluate(
    model: str,
    tasks: Sequence[str],
    console: Console,
    *,
    as_json: bool,
    out: Path | None = None,
    prompts: Mapping[str, Any] | None = None,
    limit: int | None = None,
) -> None:
    """Score one checkpoint on whole tasks: print a table as lm-eval does, or JSON with every item's values."""
    scores = score(model, tasks, limit=limit, prompts=prompts)
    document = json.dumps(scores.to_dict(), indent=2, default=str)
    if out is not None:
        out.write_text(document + "\n", encoding="utf-8")
    if as_json:
        print(document)
    else:
        console.print(scores.table, highlight=False, markup=False, soft_wrap=True)


def lm_eval(arguments: Sequence[str]) -> None:
    """Run lm-eval's own command line, with the engine as `--model evomerge`."""
    require("lm_eval", "lm-eval")
    from fitness.engine.lm_eval.lm_eval_backend import run_command_line

    run_command_line(arguments)
