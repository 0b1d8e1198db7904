"""`evomerge plan`: a campaign before it is started."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evomerge.cli.commands.search import AllowDifferences, CampaignFile, Optimiser, Set, Trust, with_differences
from evomerge.cli.gene_rows import each, grouped
from evomerge.cli.live import Phases
from evomerge.cli.terminal import Terminal, between, duration, make_console, plain_table

if TYPE_CHECKING:
    from evomerge.api.cost import Cost, Reading
    from evomerge.api.planning import Plan
    from evomerge.assembly.descent_cost import DescentCost
    from evomerge.assembly.residency import Foreseen

GIB = 2**30
SHOWN = ("attention", "mlp", "embedding")
PARENTS = ("parent", "", "from the base", "most like", "bits per byte", "note")
ADVISED = 10  # evaluations for each gene
MOST_NAMED = 4  # models that a table names one by one


def plan(
    campaign: CampaignFile,
    overrides: Set = None,
    optimiser: Optimiser = None,
    allow_differences: AllowDifferences = None,
    *,
    genes: Annotated[bool, typer.Option("--genes", help="Show every gene, not only how many are alike.")] = False,
    trust_tasks: Trust = False,
) -> None:
    """Check a campaign: parents, genes, and the measured cost of one candidate in time, memory and disk."""
    from evomerge.api.cost import measure
    from evomerge.api.planning import outlines
    from evomerge.api.search import read_campaign
    from evomerge.api.sections import Given
    from evomerge.assembly.parents_answers import parents_answers
    from evomerge.assembly.prompt_bits import prompt_bits
    from evomerge.cli.prompts import print_parents_answers

    changed = with_differences(overrides, allow_differences)
    config, console = read_campaign(campaign, changed, optimiser=optimiser, trust_tasks=trust_tasks), make_console()
    with contextlib.closing(Phases(console)) as phases:
        phases.begin("reading parents and tasks")
        for number, (outline, parts) in enumerate(outlines(config, Given()), start=1):
            if outline.stage:
                console.print(outline.stage, subject=f"stage {number} of {len(config.stages)}")
            _print_outline(outline, console, all_genes=genes)
            if outline.preflight.parents:
                phases.begin("every parent reads a few prompts")
                console.show(plain_table("Parents", PARENTS, parent_rows(replace(outline, prompts=prompt_bits(parts)))))
            phases.begin("parents answer three items")
            answers = parents_answers(parts)
            phases.begin("measuring what a candidate costs")
            cost = measure(parts, Given(), phases.begin)
            print_parents_answers(answers, console)
            console.show(plain_table("Cost", ("", ""), _cost_rows(outline, cost)))
            if number < len(config.stages):
                phases.begin("reading parents and tasks")
    console.print(f"next: {_run_command(campaign, changed, optimiser, trust_tasks=trust_tasks)}", whole=True)


def _run_command(campaign: Path, changed: Sequence[str], optimiser: str | None, *, trust_tasks: bool) -> str:
    """Return the command that runs what was planned."""
    sets = [part for change in changed for part in ("--set", change)]
    named = [] if optimiser is None else ["--optimiser", optimiser]
    return shlex.join(["evomerge", "run", str(campaign), *sets, *named, *(["--trust-tasks"] if trust_tasks else [])])


def _print_outline(found: Plan, console: Terminal, *, all_genes: bool) -> None:
    rows = [
        (r.property, by_value({name: r.values.get(name, "") for name in found.models}), r.level, r.note)
        for r in found.preflight.rows
        if r.property != "parents"  # they have a table of their own
    ]
    title = f"{len(found.models)} models: {', '.join(found.models)}"
    console.show(plain_table(title, ("property", "value", "", "note"), rows))
    if found.preflight.errors and found.preflight.parents:
        console.show(plain_table("Parents", PARENTS, parent_rows(found)))
    found.preflight.raise_for_errors()
    if found.genes:
        told = each(found.genes) if all_genes else grouped(found.genes)
        hint = "" if all_genes or len(told) == len(found.genes) else "; --genes shows each"
        title = f"{len(found.genes)} {'gene' if len(found.genes) == 1 else 'genes'}{hint}"
        console.show(plain_table(title, ("", "gene", "values"), told))


def parent_rows(found: Plan) -> list[tuple[str, ...]]:
    """Return a row per model: what it is, how far from the base and from the others, what it makes of prompts."""
    bits = {} if found.prompts is None else {name: f"{found.prompts.mean(name):.2f}" for name in found.prompts.by_task}
    base = found.config.base_name
    return [
        (base, "the base", "", "", bits.get(base, ""), ""),
        *(
            (
                each.name,
                each.verdict,
                ", ".join(f"{kind} {each.distances[kind]:.2g}" for kind in SHOWN if kind in each.distances),
                "" if each.nearest is None else f"{each.nearest[0]} {each.nearest[1]:.2f}",
                bits.get(each.name, ""),
                each.advice,
            )
            for each in found.parents
        ),
    ]


def by_value(values: Mapping[str, str]) -> str:
    """Return what models have in common: the value, or where they differ a line for each value, the commonest first."""
    models: dict[str, list[str]] = {}
    for model, value in values.items():
        models.setdefault(value or "none", []).append(model)
    if len(models) == 1:
        return next(iter(models))
    (common, first), *others = sorted(models.items(), key=lambda item: -len(item[1]))
    who = ", ".join(first) if len(first) <= MOST_NAMED else f"{len(first)} models"
    return "\n".join([f"{common}: {who}", *(f"{value}: {', '.join(those)}" for value, those in others)])


def _reading_rows(reading: Reading | None) -> list[tuple[str, str]]:
    if reading is None:
        return []
    took = f"{reading.seconds:.1f} s here, once" if reading.seconds else "collected before"
    sizes = f"{reading.bytes / GIB:.2f} GiB in {reading.directory}, {reading.memory_bytes / GIB:.1f} GiB of memory"
    return [
        ("statistics", f"{took}; {sizes} beside the model"),
        *((f"{name} reads", words) for name, words in reading.read.items()),
    ]


def _in_words(descent: DescentCost) -> str:
    return (
        f"{duration(descent.total_seconds)} for {descent.steps} steps of {descent.seconds:.2f} s on "
        f"{descent.coefficients} coefficients, {descent.preparation_seconds:.1f} s of preparation included"
    )


def _about(seconds: float) -> str:
    """Return a range of what was measured once, on a machine that others may use."""
    return between(0.8 * seconds, 1.25 * seconds)


def _few_evaluations(found: Plan) -> list[str]:
    n, evaluations = len(found.genes), found.config.budget.evaluations
    if not n or evaluations >= ADVISED * n:
        return []
    return [
        f"{evaluations} evaluations for {n} genes are {evaluations / n:.1f} for each, and {ADVISED} are advised: fewer "
        f"groups (space.groups), or --set budget.evaluations={ADVISED * n}"
    ]


def _own_items(found: Plan) -> str:
    landmarks = "several times as many, and take as much longer; all where a constraint is measured by one"
    return f"{found.n_search_items} for each candidate, every item as often as any other; landmarks answer {landmarks}"


def _asked(found: Plan) -> str:
    chat = found.config.prompts.apply_chat_template
    if not chat:
        return "in plain text"
    named = f" {chat!r}" if isinstance(chat, str) else ""
    return f"in the base's chat template{named}; prompts: {{apply_chat_template: false}} asks in plain text"


def _processor_rows(foreseen: Foreseen, cost: Cost) -> list[tuple[str, str]]:
    """Return rows on the parents' memory and on hours of processors."""
    way, hours = foreseen.residency, cost.total_seconds * cost.workers / 3600
    rows = [("parents", f"{way.mode}: {way.reason}; {way.host_bytes / GIB:.1f} GiB of each node's memory")]
    if foreseen.device == "CPU":
        cores = "" if foreseen.processors is None else f", {hours * foreseen.processors:.2f} core-hours"
        return [*rows, ("hours", f"{hours:.2f} of workers{cores}")]
    gpu_hours = hours * (foreseen.processors or 1.0)
    copies = f", {way.copy_seconds:.1f} s a candidate to copy parents (assumed)" if way.copy_seconds else ""
    return [
        *rows,
        ("GPU memory", f"{way.vram_bytes / GIB:.1f} GiB per worker, on {foreseen.device}{copies}"),
        ("hours", f"{gpu_hours:.2f} GPU-hours, at the seconds measured here"),
    ]


def _cost_rows(found: Plan, cost: Cost) -> list[tuple[str, str]]:
    cuts = None if found.cuts is None else ", ".join(map(str, found.cuts)) or "no"
    halved = f"after {cuts} of {found.n_search_items} items; who is stopped takes less time than this"
    kept, descent = cost.kept, cost.descent
    at_most = "" if found.config.budget.stop is None else "at most "
    limit = "" if kept is None else f"at most {kept.limit / GIB:.1f} GiB (EVOMERGE_CACHE_GB)"
    return [
        *(("mind", caution) for caution in (*found.cautions, *_few_evaluations(found))),
        *(("searched on", f"a benchmark's own test set, {line}") for line in found.test_sets),
        *_reading_rows(cost.reading),
        ("asked", _asked(found)),
        ("items", ", ".join(f"{split} {n}" for split, n in found.items.items())),
        *(("cost measured", line) for line in found.costs),
        (
            "one candidate",
            f"{_about(cost.seconds)} here; the first, with all preparation, {_about(cost.first_seconds)}",
        ),
        (
            "the search",
            f"{at_most}{_about(cost.total_seconds)} for {cost.evaluations} candidates on {cost.workers} worker(s)",
        ),
        *([] if descent is None else [("the descent", _in_words(descent))]),
        *([] if found.screen is None else [("screen", f"on {found.screen} prompts at most")]),
        *([] if cuts is None else [("halving", halved)]),
        *([("own items", _own_items(found))] if found.config.schedule.own_items else []),
        *([("engine", found.engine)] if found.engine else []),
        *([] if found.foreseen is None else _processor_rows(found.foreseen, cost)),
        ("memory", f"{cost.memory_bytes / GIB:.1f} GiB per worker"),
        ("an export", f"{cost.export_bytes / GIB:.2f} GiB; free here: {cost.free_bytes / GIB:.0f} GiB"),
        *(
            []
            if kept is None
            else [("decompositions", f"about {kept.bytes / GIB:.2f} GiB in {kept.directory}, {limit}")]
        ),
    ]
