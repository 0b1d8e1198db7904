"""`evomerge reduce`: a campaign's benchmark becomes a small one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from evomerge.assembly import Parts, build_parts, build_pool
from evomerge.assembly.live_models import with_compute_dtype
from evomerge.campaign.campaign import SearchInterruptedError
from evomerge.config import CampaignConfig
from evomerge.responses.collect import collect_responses, respondents
from evomerge.responses.files import kept_rows, read_matrix
from evomerge.run_directory import RunDirectory
from evomerge.terminal import SECONDS_BETWEEN_LINES, duration
from fitness.estimators import TaskLayout
from fitness.irt.anchors import Method
from fitness.irt.calibration import Calibration
from fitness.irt.quality import Quality
from fitness.irt.reduced_benchmark import ReducedBenchmark
from fitness.irt.reduction import reduce_benchmark
from fitness.irt.response_matrix import ResponseMatrix, TaskItems
from search_spaces.errors import SpaceError

ITEMS_PER_TASK = 30


def reduce(
    config: CampaignConfig,
    out: Path,
    console: Console,
    *,
    n_models: int,
    n_items: int | None,
    matrix_file: Path | None,
    method: Method | None,
) -> ReducedBenchmark:
    """Score models on all search items (or take a user's matrix), reduce, write the file, and print the report.

    Args:
        config: resolved.
        out: the JSON file; rows are kept beside it, in a directory of its name with `.responses` at the end.
        console: where to print.
        n_models: models to score, landmarks included.
        n_items: items per candidate; None: 30 per task, at most half of them.
        matrix_file: scores by model and item; None: they are made here.
        method: how anchors are chosen; None: as held-out models say.

    Raises:
        SearchInterruptedError: SIGINT; the rows so far are kept.
        Exception: every error of the rooms below.
    """
    if config.stages:
        raise SpaceError("reduce: expected a campaign of one stage, found several: reduce for each stage's space alone")
    config = with_compute_dtype(config.model_copy(update={"reduced": None}))
    console.print(f"[bold]{config.name}[/bold]: reading parents and tasks")
    parts = build_parts(config)
    items = parts.fitness.splits.items["search"]
    content = parts.fitness.content_digest(items)
    tasks = _task_items(parts, items)
    if n_items is None:
        n_items = max(len(tasks.names), min(ITEMS_PER_TASK * len(tasks.names), len(items) // 2))
    tasks.sizes(n_items)  # a number out of range shows before anything is scored
    if matrix_file is None:
        matrix = _collected(parts, RunDirectory(out.with_suffix(".responses")), console, n_models, content)
    else:
        matrix = read_matrix(matrix_file).with_items(items)
    began = time.monotonic()
    benchmark = reduce_benchmark(
        matrix,
        tasks,
        endpoints=list(config.sources),
        n_items=n_items,
        content=content,
        method=method,
        seed=config.seed,
        say=lambda line: console.print(line, highlight=False),
    )
    unfinished = out.with_name(out.name + ".unfinished")
    unfinished.write_text(benchmark.to_json() + "\n", encoding="utf-8")
    os.replace(unfinished, out)
    console.print(calibration_table(benchmark.calibration))
    console.print(f"{benchmark.calibration.verdict}\n({duration(time.monotonic() - began)})", highlight=False)
    console.print(f"wrote {out}: to use it, add to the campaign\n  reduced: {out}", highlight=False)
    return benchmark


def calibration_table(calibration: Calibration) -> Table:
    """Return the report: the chosen anchors with every estimator, the best estimator of every other choice."""
    title = f"{calibration.n_items} items, {calibration.n_models} models held out (means over objectives)"
    table = Table(title=title, title_justify="left", header_style="bold")
    for name in ("items chosen by", "estimator"):
        table.add_column(name)
    for name in ("abs. error", "Kendall tau", "regret of the top pick", "95 % interval covers"):
        table.add_column(name, justify="right")
    table.add_row("at random, 20 times", "mean", *_numbers(calibration.random), "")
    table.add_section()
    chosen = [row for row in calibration.rows if row.anchors == calibration.anchors]
    for row in chosen:
        used = row.estimator == calibration.estimator
        numbers = _numbers(row.quality)
        style = "bold" if used else ""
        table.add_row(row.anchors, row.estimator, *numbers, f"{row.coverage:.1%}", style=style)
    table.add_section()
    for method in dict.fromkeys(row.anchors for row in calibration.rows if row.anchors != calibration.anchors):
        row = min((r for r in calibration.rows if r.anchors == method), key=lambda r: r.quality.error)
        table.add_row(row.anchors, row.estimator, *_numbers(row.quality), f"{row.coverage:.1%}")
    return table


def _numbers(quality: Quality) -> tuple[str, str, str]:
    return f"{quality.error:.4f}", f"{quality.kendall:.3f}", f"{quality.regret:.4f}"


def _task_items(parts: Parts, items: tuple[str, ...]) -> TaskItems:
    layout = TaskLayout.of(items, parts.objectives, parts.fitness.task_of)
    names = list(dict.fromkeys(task for objective in parts.objectives for task in objective.tasks))
    return TaskItems(
        tuple(names),
        tuple(np.flatnonzero(layout.task_index == t) for t in range(len(names))),
        tuple(objective.name for objective in parts.objectives),
        layout.weights,
        parts.fitness.guessing(items),
    )


def _collected(parts: Parts, directory: RunDirectory, console: Console, n_models: int, content: str) -> ResponseMatrix:
    items = parts.fitness.splits.items["search"]
    candidates = respondents(parts.space, n_models, parts.config.seed)
    with directory.locked():
        pool = build_pool(parts, directory.root)
        try:
            return collect_responses(
                candidates, pool, directory.root, items=items, content=content, watch=_Watch(console).rows
            )
        except KeyboardInterrupt:
            n = len(kept_rows(directory.root))
            raise SearchInterruptedError(
                f"stopped; {n} of {len(candidates)} rows are kept in {directory.root}. To go on: the same command again"
            ) from None
        finally:
            pool.close()


class _Watch:
    """Says how many models are scored, every ten seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began: float | None = None
        self._first = 0
        self._printed = -SECONDS_BETWEEN_LINES

    def rows(self, done: int, total: int) -> None:
        """Take in how far it is."""
        now = time.monotonic()
        if self._began is None:
            self._began, self._first = now, done
        if now - self._printed < SECONDS_BETWEEN_LINES and done < total:
            return
        self._printed = now
        new = done - self._first
        left = f"  {duration((now - self._began) / new * (total - done))} left" if new and done < total else ""
        self._console.print(f"{done}/{total} models scored on all search items{left}", highlight=False)
