"""`evomerge.reduce`: a campaign's benchmark becomes a small one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evomerge.api.arguments import callbacks_of, path_of, whole
from evomerge.api.banks import UsedBanks
from evomerge.api.inputs import check_inputs, keep_or_check, reopened
from evomerge.api.search import read_campaign
from evomerge.api.texts import frame
from evomerge.archive import Archive
from evomerge.assembly import Parts, build_parts, build_pool, settled, with_statistics
from evomerge.campaign import RunDirectory, SearchInterruptedError
from evomerge.campaign.events import Callback, emit, tell_all
from evomerge.config import CampaignConfig
from evomerge.config.overrides import Overrides
from evomerge.responses import collect_responses, kept_rows, read_matrix, respondents
from evomerge.responses.bank import read_bank
from evomerge.whole_file import prepared_file
from evomerge.workers.sharing import sharing_cores
from fitness.estimation import TaskLayout
from fitness.reduction.anchors import Method
from fitness.reduction.calibration import Calibration
from fitness.reduction.reduced_benchmark import ReducedBenchmark
from fitness.reduction.reduction import reduce_benchmark
from fitness.reduction.response_matrix import ResponseMatrix, TaskItems
from search_spaces.errors import SpaceError

if TYPE_CHECKING:
    import pandas as pd

ITEMS_PER_TASK = 30
MODELS, OWN_MODELS = 100, 20


@dataclass(frozen=True)
class ModelsScored:
    """How many models of a response matrix are scored; a callback of `evomerge.reduce` is told."""

    done: int
    total: int


@dataclass(frozen=True)
class ReductionReport:
    """A reduced benchmark, and whether it is better than random items.

    Attributes:
        file: what was written; a campaign's key `reduced` names it.
        benchmark: its items and what is estimated from them.
        seconds: that choosing them took, scoring left out.
    """

    file: Path
    benchmark: ReducedBenchmark
    seconds: float

    @property
    def calibration(self) -> Calibration:
        """How well held-out models are estimated by every choice of items and estimator, beside random items."""
        return self.benchmark.calibration

    @property
    def verdict(self) -> str:
        """Whether it is better than random items, in words."""
        return self.calibration.verdict

    def to_pandas(self) -> pd.DataFrame:
        """Return one row per choice of items and estimator: abs. error, Kendall tau, regret, coverage."""
        rows = [
            {
                "items chosen by": row.anchors,
                "estimator": row.estimator,
                "error": row.quality.error,
                "kendall": row.quality.kendall,
                "regret": row.quality.regret,
                "coverage": row.coverage,
            }
            for row in self.calibration.rows
        ]
        random = self.calibration.random
        chance = {"error": random.error, "kendall": random.kendall, "regret": random.regret}
        return frame([{"items chosen by": "at random", "estimator": "mean", **chance}, *rows])


def reduce(  # noqa: PLR0913 -- each is one thing to say
    campaign: str | Path | CampaignConfig,
    out: str | Path,
    *,
    models: int | None = None,
    items: int | None = None,
    matrix: str | Path | None = None,
    bank: str | Path | Sequence[str | Path] = (),
    anchors: Method | None = None,
    workers: int | None = None,
    set: Overrides = (),
    callbacks: Callback | Sequence[Callback] = (),
    trust_tasks: bool = False,
) -> ReductionReport:
    """Make a small benchmark of a campaign's search items, and say whether it is better than random items.

    Landmarks and random merges of the campaign's space are scored on all search items; each row is kept as it comes,
    so the same call goes on where it was stopped.

    Args:
        campaign: a campaign file, the directory of a run, or a resolved config.
        out: the JSON file; rows are kept beside it, in a directory of its name with `.responses` at the end.
        models: to score, landmarks included, at least 10; None: 100, with a bank as many as it takes (see `bank`).
        items: per candidate; None: 30 per task, at most half of them.
        matrix: a file with scores of yours, models x items (Parquet, CSV or JSON): nothing is scored then.
        bank: files of item parameters or of others' answers, `TASK=FILE` where all are of one task (the formats:
            docs/howto/reduce.md). Parameters of items that it has come from there and stay fixed; a few own models, 20
            besides the parents unless `models` says otherwise, put them on their scale, fit the other items, and show
            whether it is any good. Nothing is scored where the bank has ten models' answers to all search items.
        anchors: how items are chosen; None: as predicts held-out models best.
        workers: how many; None: as the campaign says.
        set: keys to change in the campaign file.
        callbacks: told each step in words, and how many models are scored.
        trust_tasks: whether code that a run directory names, which somebody else began, may be run.

    Raises:
        SearchInterruptedError: Ctrl-C; the rows so far are kept.
        OutputError: `out` cannot be written; told before anything is scored.
        FitnessError: rows that are kept are scores of other parents or items.
        Exception: every error of the rooms below.
    """
    if models is not None:
        whole("models", models, at_least=10)
    if items is not None:
        whole("items", items)
    file, callbacks = path_of("out", out), callbacks_of(callbacks)
    named = [bank] if isinstance(bank, str | Path) else list(bank)
    banks = [read_bank(str(one)) for one in named]  # what cannot be read shows before anything is opened
    write = prepared_file(file)
    run, say = None, partial(tell_all, callbacks)
    if not isinstance(campaign, CampaignConfig):
        path = path_of("campaign", campaign)
        run = RunDirectory(path) if path.is_dir() else None
        campaign = read_campaign(path, set, workers=workers, trust_tasks=trust_tasks)
    if campaign.stages:
        raise SpaceError("reduce: expected a campaign of one stage, found several: reduce for each stage's space alone")
    parts = with_statistics(_parts(campaign.model_copy(update={"reduced": None}), run, callbacks), say=say)
    config, search_items = parts.config, parts.fitness.questions(parts.fitness.splits.items["search"])
    answers = parts.fitness.answers_digest(search_items)
    tasks = _task_items(parts, search_items)
    n_tasks = len(tasks.names)
    n_items = items or max(n_tasks, min(ITEMS_PER_TASK * n_tasks, len(search_items) // 2))
    tasks.sizes(n_items)  # a number out of range shows before anything is scored
    using = UsedBanks.of(banks, parts.fitness, search_items, tasks)
    for line in using.lines:
        say(line)
    if matrix is not None:
        responses = read_matrix(Path(matrix)).with_items(search_items, known=using.places)
    elif models is None and using.answers is not None:
        responses = using.answers
    else:
        directory = RunDirectory(file.with_suffix(".responses"))
        few = OWN_MODELS + len(config.sources) if banks else MODELS
        responses = _collected(parts, directory, few if models is None else models, callbacks)
    began = time.monotonic()
    benchmark = reduce_benchmark(
        responses,
        tasks,
        endpoints=list(config.sources),
        n_items=n_items,
        content=answers,
        method=anchors,
        known=using.known(say) if banks and responses is not using.answers else None,
        seed=config.seed,
        say=say,
    )
    benchmark = replace(benchmark, origin=using.origin(responses))
    write(benchmark.to_json() + "\n")
    return ReductionReport(file, benchmark, time.monotonic() - began)


def _parts(config: CampaignConfig, run: RunDirectory | None, callbacks: Sequence[Callback]) -> Parts:
    """Return what a campaign is made of; of a run, what it was when that began."""
    config, places = (config, {}) if run is None else reopened(config, run, {})
    tell_all(callbacks, "reading parents and tasks", config.name)
    tokens = None if run is None else run.tokens
    parts = build_parts(settled(config, places), places=places, tokens=tokens)
    if run is not None:
        with contextlib.closing(Archive.read(run.archive)) as archive:
            check_inputs(archive, parts, run.root, partial(tell_all, callbacks), recorded_next=False)
    return parts


def _task_items(parts: Parts, items: tuple[str, ...]) -> TaskItems:
    objectives = [objective for objective in parts.objectives if objective.cost is None]
    layout = TaskLayout.of(items, objectives, parts.fitness.task_of)
    names = list(dict.fromkeys(task for objective in objectives for task in objective.tasks))
    return TaskItems(
        tuple(names),
        tuple(np.flatnonzero(layout.task_index == t) for t in range(len(names))),
        tuple(objective.name for objective in objectives),
        layout.weights,
        parts.fitness.guessing(items),
    )


def _collected(parts: Parts, directory: RunDirectory, n_models: int, callbacks: Sequence[Callback]) -> ResponseMatrix:
    items = parts.fitness.questions(parts.fitness.splits.items["search"])
    content = parts.fitness.content_digest(items)
    candidates = respondents(parts.space, n_models, parts.config.seed)

    def watch(done: int, total: int) -> None:
        emit([ModelsScored(done, total)], callbacks)

    with directory.locked():
        rows = any(directory.root.glob("*.parquet"))
        keep_or_check(directory.root / "inputs.json", parts, rows=rows, say=partial(tell_all, callbacks))
        sharing = sharing_cores(parts.config.workers.count, parts.config.workers.cpus)
        with sharing, contextlib.closing(build_pool(parts, directory.root)) as pool:
            try:
                return collect_responses(candidates, pool, directory.root, items=items, content=content, watch=watch)
            except KeyboardInterrupt:
                n = len(kept_rows(directory.root))
                raise SearchInterruptedError(
                    f"stopped; {n} of {len(candidates)} rows are kept in {directory.root}. To go on: the same command "
                    "again"
                ) from None
