"""One cell of the table: an operator on a family with a seed, as it comes or tuned; kept as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import Literal

import numpy as np

import evomerge as em
from experiments.operators.families import N_TIMED, Bench
from experiments.operators.settings import Setting, others_like

Mode = Literal["default", "tuned"]
ALONE = "alone"  # the best expert by itself
OBJECTIVE = "mean"


@dataclass(frozen=True)
class Row:
    """What one merge scored.

    Attributes:
        search: macro-average on search items.
        test: on test items.
        tasks: task -> share of right test items.
        evaluations: candidates that were scored on search items.
        experts: how many were merged.
        statistics: processor seconds of reading prompts with the parents, where the operator does and they were
            measured.
        first, cached: processor seconds of a merge, where they were measured.
        failed: why there is none; the scores are then 0.
    """

    family: str
    setting: str
    mode: Mode
    seed: int
    search: float
    test: float
    tasks: Mapping[str, float] = field(default_factory=dict)
    evaluations: int = 1
    experts: int = 0
    statistics: float | None = None
    first: float | None = None
    cached: float | None = None
    failed: str = ""

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What is not run twice."""
        return self.family, self.setting, self.mode, self.seed


class Results:
    """Rows in a file, one line each; a later line of a key replaces an earlier one."""

    def __init__(self, path: Path) -> None:
        """Read what is there."""
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._rows = {row.key: row for row in (Row(**json.loads(line)) for line in lines)}

    def __contains__(self, key: tuple[str, str, str, int]) -> bool:
        """Return whether a key is done: what failed is tried again."""
        return key in self._rows and not self._rows[key].failed

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def add(self, row: Row) -> None:
        """Keep a row."""
        self._rows[row.key] = row
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({k: v for k, v in asdict(row).items() if v not in (None, "")}) + "\n")


def default(bench: Bench, setting: Setting, *, timed: bool) -> Row:
    """Score a setting with nothing tuned."""
    try:
        statistics, read = bench.statistics(setting.operator)
    except em.EvomergeError as error:
        return _failed(bench, setting, "default", error)
    recipe = setting.default(bench.family, bench.seed, statistics)
    row = _row(bench, setting, "default", recipe, search=None, evaluations=1)
    if not timed or row.failed:
        return row
    space = setting.space(bench.family, bench.seed, bench.n_layers, statistics) if _searched(setting) else None
    seconds = bench.seconds(recipe, [recipe] * N_TIMED if space is None else others_like(space, N_TIMED))
    reading = round(read, 4) if statistics else row.statistics
    return replace(row, first=round(seconds.first, 4), cached=round(seconds.cached, 4), statistics=reading)


def tuned(bench: Bench, setting: Setting, evaluations: int) -> Row | None:
    """Return the best of the default and what CMA-ES proposes, by search items; None where nothing can be tuned."""
    if not _searched(setting):
        return None
    try:
        statistics, _ = bench.statistics(setting.operator)
    except em.EvomergeError as error:
        return _failed(bench, setting, "tuned", error)
    space = setting.space(bench.family, bench.seed, bench.n_layers, statistics)
    options = em.optimisers.CmaEs() if space.dim > 1 else em.optimisers.Random()
    optimiser = options.build(em.optimisers.Problem(space, bench.seed, {OBJECTIVE: 1.0}, evaluations))
    best = setting.default(bench.family, bench.seed, statistics)
    value, done = _search(bench, best), 1
    value = -1.0 if value is None else value
    while done < evaluations and len(genomes := optimiser.ask(1)):
        recipe = space.decode(genomes[0])
        found = _search(bench, recipe)
        optimiser.tell([_outcome(done - 1, recipe, genomes[0], found)])
        done += 1
        if found is not None and found > value:
            best, value = recipe, found
    return _row(bench, setting, "tuned", best, search=value, evaluations=done)


def best_alone(bench: Bench) -> Row:
    """Return the expert that is best by itself on search items, by its test items."""
    family = bench.family
    alone = {
        expert: em.Recipe(family.sources, "base", (em.Rule("passthrough", (em.Input(expert),)),), dtype=family.dtype)
        for expert in family.experts
    }
    values = {expert: mean(bench.score(recipe, "search").values()) for expert, recipe in alone.items()}
    best = max(values, key=values.__getitem__)
    tasks = bench.score(alone[best], "test")
    return Row(family.name, ALONE, "default", bench.seed, values[best], mean(tasks.values()), tasks, len(alone), 1)


def _searched(setting: Setting) -> bool:
    return any(isinstance(gene, tuple) for gene in setting.tuned.values())


def _row(
    bench: Bench, setting: Setting, mode: Mode, recipe: em.Recipe, *, search: float | None, evaluations: int
) -> Row:
    try:
        value = mean(bench.score(recipe, "search").values()) if search is None else search
        tasks = bench.score(recipe, "test")
    except em.EvomergeError as error:
        return _failed(bench, setting, mode, error)
    named = (bench.family.name, setting.name, mode, bench.seed)
    return Row(*named, value, mean(tasks.values()), tasks, evaluations, len(setting.experts(bench.family)))


def _failed(bench: Bench, setting: Setting, mode: Mode, error: Exception) -> Row:
    experts = len(setting.experts(bench.family))
    return Row(bench.family.name, setting.name, mode, bench.seed, 0.0, 0.0, experts=experts, failed=str(error))


def _search(bench: Bench, recipe: em.Recipe) -> float | None:
    try:
        return mean(bench.score(recipe, "search").values())
    except em.EvomergeError:
        return None


def _outcome(number: int, recipe: em.Recipe, genome: object, value: float | None) -> em.Evaluation | em.Failure:
    candidate = em.Candidate(number, recipe, None, number, genome)
    if value is None:
        return em.Failure(candidate, "evaluate", "not scored")
    estimate = em.Estimate("search", (em.ObjectiveEstimate(OBJECTIVE, value, 0.0, 1),))
    return em.Evaluation(candidate, estimate, em.ItemScores((), np.empty(0)))
