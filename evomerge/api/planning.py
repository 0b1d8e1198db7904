"""`evomerge.plan`: what a campaign will do and cost, before it is started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evomerge.api.arguments import path_of, refused
from evomerge.api.cost import Cost, measure
from evomerge.api.search import read_campaign
from evomerge.api.sections import Given
from evomerge.api.sections import campaign as campaign_from
from evomerge.api.texts import frame, table_html
from evomerge.assembly import Parts, build_parts, settled
from evomerge.assembly.costs import measured
from evomerge.assembly.engines import engine_in_words
from evomerge.assembly.prompt_bits import PromptBits, prompt_bits
from evomerge.assembly.residency import Foreseen, foreseen
from evomerge.config import CampaignConfig, joined_config, merge_stand_ins, stage_config, stand_ins
from evomerge.config.overrides import Overrides
from evomerge.results.verification.benchmark_test_sets import described
from evomerge.schedules import HalvingConfig, ScreenConfig
from search_spaces.checks.preflight import ParentTraits, Preflight
from search_spaces.spaces.genes import GeneInfo

if TYPE_CHECKING:
    import pandas as pd


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
        prompts: what every model makes of a few search prompts; None where none can be asked.
        costs: what each objective that is a cost measures, in words.
        engine: who runs candidates, in words, where that is not evomerge's own engine; else empty.
        foreseen: where the workers will keep the parents, and on what.
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
    prompts: PromptBits | None = None
    costs: tuple[str, ...] = ()
    engine: str = ""
    foreseen: Foreseen | None = None

    @property
    def parents(self) -> tuple[ParentTraits, ...]:
        """What each parent is to the base and to the others, and whether it has collapsed."""
        told = {} if self.prompts is None else {each.name: self.prompts.collapsed(each.name) for each in self._traits}
        return tuple(
            replace(each, verdict="collapsed", advice="; ".join(filter(None, (each.advice, told[each.name]))))
            if told.get(each.name) and each.verdict not in ("copy", "locked")
            else each
            for each in self._traits
        )

    @property
    def _traits(self) -> tuple[ParentTraits, ...]:
        return self.preflight.parents

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
        parents = [[each.name, each.verdict, each.advice] for each in self.parents]
        found = table_html(["property", "", "note"], preflight) + table_html(["parent", "", "note"], parents)
        found += table_html(["gene", "values"], genes)
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
        plans.append(replace(outline, prompts=prompt_bits(parts), cost=measure(parts, given)))
    return tuple(plans)


def outlines(config: CampaignConfig, given: Given) -> Iterator[tuple[Plan, Parts]]:
    """Yield each stage, or the one search that a campaign is, as it is opened: its plan without the cost."""
    config = joined_config(config, merge_stand_ins(config))
    for index, stage in enumerate(config.stages):
        yield _outline(stage_config(config, index, stand_ins(config, index)), stage.name, given)
    if not config.stages:
        yield _outline(config, "", given)


def _outline(config: CampaignConfig, stage: str, given: Given) -> tuple[Plan, Parts]:
    config = settled(config)
    parts = build_parts(config, given.space_of(config))
    unmade = tuple(parent.name for parent in config.parents if parent.merge_of)
    found = parts.preflight(unmade=unmade)
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
            items={split: len(parts.fitness.questions(names)) for split, names in items.items()},
            n_search_items=len(parts.fitness.questions(searched)),
            test_sets=tuple(described(parts.test_sets)),
            screen=schedule.prompts if isinstance(schedule, ScreenConfig) else None,
            cuts=halving.sizes(searched, parts.fitness.task_of)[:-1] if isinstance(halving, HalvingConfig) else None,
            cost=None,
            cautions=config.space.cautions,
            engine=engine_in_words(parts),
            foreseen=foreseen(config, parts.parents),
            costs=tuple(measured(o) for o in parts.objectives if o.cost is not None),
        ),
        parts,
    )
