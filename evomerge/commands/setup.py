"""`evomerge init`, `plan` and `doctor`: before a search."""

from __future__ import annotations

import math
import resource
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from evomerge.assembly import Parts, build_parts, build_worker
from evomerge.assembly.live_models import with_compute_dtype
from evomerge.assembly.optimiser import build_optimiser, check_optimiser
from evomerge.campaign.campaign import CampaignError
from evomerge.candidate import Candidate, Failure
from evomerge.config import CampaignConfig
from evomerge.config.template import campaign_template
from evomerge.doctor import examine
from evomerge.run_directory import RunDirectoryError
from evomerge.schedules import HalvingConfig, ScreenConfig
from evomerge.terminal import duration, plain_table
from evomerge.verification.benchmark_test_sets import described
from search_spaces.genes import GeneInfo

GIB = 2**30
MOST_NAMED = 4  # models that a table names one by one


def init(models: Sequence[str], base: str | None, out: Path, console: Console) -> None:
    """Write a commented campaign file for these models."""
    if out.exists():
        raise RunDirectoryError(f"{out}: expected no file, found one; choose another with --out")
    out.write_text(campaign_template(models, base), encoding="utf-8")
    console.print(
        f"wrote {out}: put your tasks in it, then\n  evomerge plan {out}\n  evomerge run {out}", highlight=False
    )


def doctor(console: Console) -> bool:
    """Print what this machine has; return whether nothing is missing."""
    findings = examine()
    rows = [(f.subject, f.status, f.found, f.advice) for f in findings]
    console.print(plain_table("evomerge doctor", ("what", "status", "found", "advice"), rows))
    return all(f.status != "missing" for f in findings)


def plan(config: CampaignConfig, console: Console) -> None:
    """Print the preflight table, the genes, and what the search will cost, measured on two candidates."""
    check_optimiser(config)
    config = with_compute_dtype(config)
    parts = build_parts(config)
    preflight = parts.preflight()
    names = list(parts.parents.checkpoints)
    rows = [
        (r.property, by_value({name: r.values.get(name, "") for name in names}), r.level, r.note)
        for r in preflight.rows
    ]
    console.print(plain_table(f"{len(names)} models: {', '.join(names)}", ("property", "value", "", "note"), rows))
    preflight.raise_for_errors()
    space = parts.space
    genes = space.gene_names()
    if genes:
        console.print(plain_table(f"{len(genes)} genes", ("", "gene", "values"), _gene_rows(genes)))
    _print_cost(config, parts, console)


def by_value(values: Mapping[str, str]) -> str:
    """Return what models have in common: the value, or where they differ a line for each value, the commonest first.

    Args:
        values: model -> value; empty for a model that has none.
    """
    models: dict[str, list[str]] = {}
    for model, value in values.items():
        models.setdefault(value or "none", []).append(model)
    if len(models) == 1:
        return next(iter(models))
    (common, first), *others = sorted(models.items(), key=lambda item: -len(item[1]))
    who = ", ".join(first) if len(first) <= MOST_NAMED else f"{len(first)} models"
    return "\n".join([f"{common}: {who}", *(f"{value}: {', '.join(those)}" for value, those in others)])


def _gene_rows(genes: Sequence[GeneInfo]) -> list[tuple[str, str, str]]:
    """Return a row per gene; genes of single layers that follow each other, otherwise alike, share one."""
    rows: list[tuple[int, int, GeneInfo]] = []
    for i, gene in enumerate(genes):
        before = rows[-1][2] if rows else None
        if (
            before
            and before.layers
            and gene.layers
            and gene == replace(before, layers=gene.layers)
            and (gene.layers == (before.layers[1], before.layers[1] + 1))
        ):
            rows[-1] = (rows[-1][0], i, replace(gene, layers=(before.layers[0], gene.layers[1])))
        else:
            rows.append((i, i, gene))
    return [(str(a) if a == b else f"{a}-{b}", str(gene), gene.range) for a, b, gene in rows]


def _print_cost(config: CampaignConfig, parts: Parts, console: Console) -> None:
    """Score three candidates here: the first two prepare everything once, the third shows the price of all others."""
    worker = build_worker(parts)
    proposed = [parts.space.decode(genome) for genome in build_optimiser(config, parts.space).ask(3)]
    recipes = [*proposed, *(landmark.recipe for landmark in parts.space.landmarks())][:3]
    seconds = []
    for number, recipe in enumerate(recipes):
        done = worker.evaluate(Candidate(number, recipe), parts.search_budget)
        if isinstance(done, Failure):
            raise CampaignError(f"a candidate cannot be scored, at stage {done.stage}: {done.reason}")
        seconds.append(done.seconds)
    base = parts.parents[config.base_name]
    weights = sum(math.prod(base.shape(name)) for name in base.names)
    size = weights * (4 if config.export.dtype == "float32" else 2)
    splits = parts.fitness.splits.items
    total = duration(seconds[0] + seconds[2] * (config.budget.evaluations - 1) / config.workers.count)
    test_sets = described(parts.test_sets)
    rows = [
        *(("searched on", f"a benchmark's own test set, {line}") for line in test_sets),
        ("items", ", ".join(f"{split} {len(items)}" for split, items in splits.items())),
        ("one candidate", f"{seconds[2]:.2f} s here (the first, with all preparation, {seconds[0]:.1f} s)"),
        ("the search", f"{total} for {config.budget.evaluations} candidates on {config.workers.count} worker(s)"),
        *_schedule_rows(parts),
        ("memory", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB:.1f} GiB per worker"),
        ("an export", f"{size / GIB:.2f} GiB; free here: {shutil.disk_usage('.').free / GIB:.0f} GiB"),
    ]
    console.print(plain_table("Cost", ("", ""), [*rows, *_factor_rows(config, parts)]))


def _schedule_rows(parts: Parts) -> list[tuple[str, str]]:
    """Return after how many items a generation is halved; nothing where it is not."""
    schedule = parts.config.schedule
    halving = schedule.then if isinstance(schedule, ScreenConfig) else schedule
    rows = [("screen", f"on {schedule.prompts} prompts at most")] if isinstance(schedule, ScreenConfig) else []
    if isinstance(halving, HalvingConfig):
        items = parts.search_budget.items or parts.fitness.splits.items["search"]
        *cuts, n_items = halving.sizes(items, parts.fitness.task_of)
        after = ", ".join(map(str, cuts)) or "no"
        rows.append(("halving", f"after {after} of {n_items} items; who is stopped takes less time than this"))
    return rows


def _factor_rows(config: CampaignConfig, parts: Parts) -> list[tuple[str, str]]:
    """Return what spectral operators of the space will keep on disk; nothing without such operators."""
    from search_spaces.cache_directory import cache_directory
    from search_spaces.operators.registry import find_operator
    from search_spaces.weights.factors import full_bytes, limit_from_environment

    if not any(find_operator(name).spectral for name in getattr(config.space, "operator", ())):
        return []
    experts = [parent for name, parent in parts.parents.checkpoints.items() if name != config.base_name]
    limit, directory = limit_from_environment(), cache_directory("factors")
    size = min(limit, sum(map(full_bytes, experts)))
    where = f"in {directory}, at most {limit / GIB:.1f} GiB (EVOMERGE_CACHE_GB)"
    return [("decompositions", f"about {size / GIB:.2f} GiB {where}")]
