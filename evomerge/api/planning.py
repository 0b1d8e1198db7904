"""`evomerge.plan`: what a campaign will do and cost, before it is started."""

from __future__ import annotations

import math
import resource
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evomerge.api.arguments import path_of, refused
from evomerge.api.search import read_campaign
from evomerge.api.sections import Given
from evomerge.api.sections import campaign as campaign_from
from evomerge.api.texts import frame, table_html
from evomerge.assembly import Parts, build_parts, build_worker, with_compute_dtype
from evomerge.assembly.descent_cost import DescentCost, descent_cost
from evomerge.assembly.informed import gathering
from evomerge.campaign import CampaignError
from evomerge.candidate import Candidate, Failure
from evomerge.config import CampaignConfig, joined_config, merge_stand_ins, stage_config, stand_ins
from evomerge.config.overrides import Overrides
from evomerge.optimisers.gradient.options import Descending
from evomerge.results.verification.benchmark_test_sets import described
from evomerge.schedules import HalvingConfig, ScreenConfig
from evomerge.workers.sharing import sharing_cores
from search_spaces.checks.preflight import Preflight
from search_spaces.spaces.genes import GeneInfo

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Kept:
    """Decompositions of the experts that spectral operators keep on disk.

    Attributes:
        bytes: about; of all experts.
        limit: bytes that are kept at most.
        directory: where.
    """

    bytes: int
    limit: int
    directory: Path


@dataclass(frozen=True)
class Reading:
    """The pass of parents over prompts, for operators that read statistics of them; once, before all candidates.

    Attributes:
        seconds: measured here; 0.0 where nothing was left to collect.
        read: parent -> what it reads, in words.
        bytes: on disk; of all parents.
        memory_bytes: at most, beside the model, while they are collected.
        directory: where they are kept.
    """

    seconds: float
    read: Mapping[str, str]
    bytes: int
    memory_bytes: int
    directory: Path


@dataclass(frozen=True)
class Cost:
    """What a search costs here, measured on three candidates.

    Attributes:
        first_seconds: of the first candidate, with all preparation.
        seconds: of every further one.
        total_seconds: of the whole search on its workers.
        evaluations: candidates in all.
        workers: how many.
        memory_bytes: of a worker, at its peak.
        export_bytes: of one exported checkpoint.
        free_bytes: of the disk here.
        kept: what spectral operators keep on disk; None where there are none.
        reading: what operators that read statistics cost; None where there are none.
        descent: what an optimiser or a warm start of kind gradient takes, which `total_seconds` holds; else None.
    """

    first_seconds: float
    seconds: float
    total_seconds: float
    evaluations: int
    workers: int
    memory_bytes: int
    export_bytes: int
    free_bytes: int
    kept: Kept | None = None
    reading: Reading | None = None
    descent: DescentCost | None = None


@dataclass(frozen=True)
class Plan:
    """One search, before it is started.

    Attributes:
        config: resolved.
        stage: its name where the campaign has stages; else empty.
        models: names of every checkpoint, the base first.
        preflight: what they share and where they differ.
        genes: what is searched; empty where genomes are no cube vectors.
        items: split -> how many items.
        n_search_items: how many of the search items a candidate answers at most.
        test_sets: lines about benchmarks' own test sets that are searched on.
        screen: on how many prompts candidates are screened at most; None without a screen.
        cuts: after how many items a generation is halved; None where it is not.
        cost: measured; None where the parents cannot be merged.
        cautions: sentences about operators whose defaults, as this space has them, do what nobody would expect.
    """

    config: CampaignConfig
    stage: str
    models: tuple[str, ...]
    preflight: Preflight
    genes: tuple[GeneInfo, ...]
    items: Mapping[str, int]
    n_search_items: int
    test_sets: tuple[str, ...]
    screen: int | None
    cuts: tuple[int, ...] | None
    cost: Cost | None
    cautions: tuple[str, ...] = ()

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a gene: its name, what it holds for, and its values at both ends."""
        rows = [
            {
                "gene": str(gene),
                "parameter": gene.parameter,
                "parent": gene.parent,
                "layers": gene.layers,
                "module": gene.module,
                "low": gene.values[0],
                "high": gene.values[1],
            }
            for gene in self.genes
        ]
        return frame(rows)

    def _repr_html_(self) -> str:
        preflight = [[row.property, row.level, row.note] for row in self.preflight.rows]
        genes = [[str(gene), gene.range] for gene in self.genes]
        found = table_html(["property", "", "note"], preflight) + table_html(["gene", "values"], genes)
        if self.cost is None:
            return found
        return f"{found}<p>{self.cost.seconds:.2f} s a candidate, {self.cost.total_seconds / 3600:.2f} h in all</p>"


def plan(
    campaign: str | Path | CampaignConfig | None = None,
    *,
    set: Overrides = (),
    trust_tasks: bool = False,
    **arguments: Any,
) -> tuple[Plan, ...]:
    """Check a campaign: parents, genes, and the measured cost of one candidate in time, memory and disk.

    >>> import evomerge as em
    >>> (plan,) = em.plan("runs/mine/campaign.yaml")
    >>> plan.cost.seconds > 0.0
    True

    Args:
        campaign: a campaign file, or a resolved config; None: `arguments` say it all.
        set: keys to change in the file, see `evomerge.search.from_yaml`.
        trust_tasks: whether code that a run directory names, which somebody else began, may be run.
        arguments: those of `evomerge.search`; beside a campaign file only optimiser (a kind), evaluations and workers.

    Returns:
        One plan per stage; the first parent stands in for winners and for `merges`, which do not exist yet. One where
        there are no stages.

    Raises:
        ConfigError: everything that is wrong with the campaign, at once.
        SpaceError: the parents cannot be read or merged.
        FitnessError: a task cannot be read.
        CampaignError: a candidate cannot be scored.
    """
    given = Given()
    if campaign is None:
        for argument in ("parents", "objectives"):
            if argument not in arguments:
                raise refused(argument, "this argument where there is no campaign file", None)
        described = {key: value for key, value in arguments.items() if key not in ("run_dir", "callbacks")}
        config, given = campaign_from(**described)
    else:
        for argument in arguments.keys() - {"optimiser", "evaluations", "workers"}:
            raise refused(argument, "no such argument beside a campaign", arguments[argument], "use set={KEY: VALUE}")
        if not isinstance(campaign, CampaignConfig):
            campaign = read_campaign(path_of("campaign", campaign), set, trust_tasks=trust_tasks, **arguments)
        config = campaign
    plans = []
    for outline, parts in outlines(config, given):
        outline.preflight.raise_for_errors()
        plans.append(replace(outline, cost=measure(parts, given)))
    return tuple(plans)


def outlines(config: CampaignConfig, given: Given) -> Iterator[tuple[Plan, Parts]]:
    """Yield each stage, or the one search that a campaign is, as it is opened: its plan without the cost."""
    config = joined_config(config, merge_stand_ins(config))
    for index, stage in enumerate(config.stages):
        yield _outline(stage_config(config, index, stand_ins(config, index)), stage.name, given)
    if not config.stages:
        yield _outline(config, "", given)


def _outline(config: CampaignConfig, stage: str, given: Given) -> tuple[Plan, Parts]:
    config = with_compute_dtype(config)
    parts = build_parts(config, given.space_of(config))
    found = parts.preflight()
    items = parts.fitness.splits.items
    searched, schedule = parts.search_budget.items or items["search"], config.schedule
    halving = schedule.then if isinstance(schedule, ScreenConfig) else schedule
    return (
        Plan(
            config=config,
            stage=stage,
            models=tuple(parts.parents.checkpoints),
            preflight=found,
            genes=tuple(parts.space.gene_names()) if not found.errors else (),
            items={split: len(names) for split, names in items.items()},
            n_search_items=len(searched),
            test_sets=tuple(described(parts.test_sets)),
            screen=schedule.prompts if isinstance(schedule, ScreenConfig) else None,
            cuts=halving.sizes(searched, parts.fitness.task_of)[:-1] if isinstance(halving, HalvingConfig) else None,
            cost=None,
            cautions=config.space.cautions,
        ),
        parts,
    )


def measure(parts: Parts, given: Given) -> Cost:
    """Score three candidates here: the first two prepare everything once, the third shows the price of all others."""
    with sharing_cores(parts.config.workers.count, parts.config.workers.cpus):
        return _measured(parts, given)


def _measured(parts: Parts, given: Given) -> Cost:
    parts, reading = _read(parts)
    config, space, worker = parts.config, parts.space, build_worker(parts)
    own, descent = given.optimiser_of(space), descent_cost(parts)
    proposed = [] if isinstance(config.optimiser, Descending) else (parts.optimiser() if own is None else own).ask(3)
    recipes = [*map(space.decode, proposed), *(landmark.recipe for landmark in space.landmarks())][:3]
    seconds = []
    for number, recipe in enumerate(recipes):
        done = worker.evaluate(Candidate(number, recipe), parts.search_budget)
        if isinstance(done, Failure):
            raise CampaignError(f"a candidate cannot be scored, at stage {done.stage}: {done.reason}")
        seconds.append(done.seconds)
    base = parts.parents[config.base_name]
    n_weights = sum(math.prod(base.shape(name)) for name in base.names)
    evaluations, workers = config.budget.evaluations, config.workers.count
    before = (0.0 if reading is None else reading.seconds) + (0.0 if descent is None else descent.total_seconds)
    return Cost(
        seconds[0],
        seconds[2],
        before + seconds[0] + seconds[2] * (evaluations - 1) / workers,
        evaluations,
        workers,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        n_weights * (4 if config.export.dtype == "float32" else 2),
        shutil.disk_usage(".").free,
        _kept(config, parts),
        reading,
        descent,
    )


def _read(parts: Parts) -> tuple[Parts, Reading | None]:
    """Gather statistics of the parents, as the search will, and return what that takes."""
    from search_spaces.cache_directory import cache_directory

    given, said = gathering(parts), list[str]()
    if given is None:
        return parts, None
    began = time.perf_counter()
    found = given.gather(say=said.append)
    seconds = time.perf_counter() - began if said else 0.0
    directory = cache_directory("statistics")
    size = sum(file.stat().st_size for digest in found.digests.values() for file in (directory / digest).iterdir())
    read = {name: given.in_words(name, found.owners) for name in found.digests}
    return replace(parts, statistics=found), Reading(seconds, read, size, given.memory_bytes(), directory)


def _kept(config: CampaignConfig, parts: Parts) -> Kept | None:
    """Return what spectral operators of the space will keep on disk."""
    from search_spaces.cache_directory import cache_directory
    from search_spaces.merging.factors import full_bytes, limit_from_environment
    from search_spaces.operators.registry import find_operator

    if not any(find_operator(name).spectral for name in getattr(config.space, "operator", ())):
        return None
    experts = [parent for name, parent in parts.parents.checkpoints.items() if name != config.base_name]
    limit = limit_from_environment()
    return Kept(min(limit, sum(map(full_bytes, experts))), limit, cache_directory("factors"))
