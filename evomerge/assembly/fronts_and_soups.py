"""The optimisers map, nested_map and greedy_soup from a campaign file: their options, and the spaces they need."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError

from evomerge.config import CampaignConfig
from evomerge.config.optimisers import OptimiserConfig
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.protocol import Optimiser
from search_spaces.recipe import Input
from search_spaces.soup_weights import CONTRAST
from search_spaces.space import SearchSpace
from search_spaces.weight_space import WeightSpace

Genome = NDArray[np.float64]
Build = Callable[[CampaignConfig], Optimiser[Genome]]
_LOG = logging.getLogger(__name__)

MAP_OPTIONS = ("initial", "batch", "overlap")
NESTED_OPTIONS = ("preference", "per_pair")
SOUP_OPTIONS = ("then",)
# A pair of models merged by these, weights frozen, is again a model that they merge.
NESTS = ("linear", "task_arithmetic")


def build_map(config: CampaignConfig, starts: Sequence[ArrayLike], *, dim: int) -> Optimiser[Genome]:
    """Return MAP.

    Raises:
        OptimiserError: an option that it does not have, or a value out of range.
    """
    from evomerge.optimisers.amortised_pareto import AmortisedPareto
    from evomerge.optimisers.surrogates.design import design_size

    options = _known(config.optimiser, MAP_OPTIONS)
    found = AmortisedPareto(dim, n_objectives=len(config.objectives), seed=config.seed, starts=starts, **options)
    initial = options.get("initial", design_size(dim))
    if initial >= config.budget.evaluations:
        _LOG.warning(
            "optimiser: map fits its first surrogates after %d candidates (optimiser.initial), and "
            "budget.evaluations is %d: nothing will be predicted",
            initial,
            config.budget.evaluations,
        )
    return found


def build_nested_map(config: CampaignConfig, space: SearchSpace[Any] | None) -> Optimiser[Genome]:
    """Return nested MAP; a space of None checks the options alone.

    Raises:
        OptimiserError: an option that it does not have, or a space whose genes are not one weight per parent of a
            linear operator.
    """
    from evomerge.optimisers.nested_pareto import NestedPareto

    options = _known(config.optimiser, NESTED_OPTIONS)
    _check_cold(config.optimiser)
    preference = _preference(config, options.pop("preference", None))
    bounds = [(0.0, 1.0)] * 2 if space is None else _parent_weights(config, space)
    return NestedPareto(bounds, preference=preference, seed=config.seed, **options)


def build_greedy_soup(config: CampaignConfig, space: SearchSpace[Any] | None, build: Build) -> Optimiser[Genome]:
    """Return the greedy soup and what follows it; a space of None checks the options alone.

    Args:
        config: of the campaign.
        space: its space.
        build: makes the optimiser that `then` describes, from a config that has it as its own.

    Raises:
        OptimiserError: an option that it does not have, or a space without plain averages of some parents.
    """
    from evomerge.optimisers.greedy_soup import GreedySoup

    options = _known(config.optimiser, SOUP_OPTIONS)
    _check_cold(config.optimiser)
    then = None
    if "then" in options:
        chosen = _follower(options["then"])
        then = build(config.model_copy(update={"optimiser": chosen}))
    parents, genome_of = (("a", "b"), lambda _: np.zeros(2)) if space is None else _soups(space)
    weights = {o.name: o.weight for o in config.objectives}
    return GreedySoup(genome_of, n_parents=len(parents), weights=weights, then=then)


def _known(chosen: OptimiserConfig, known: Sequence[str]) -> dict[str, Any]:
    if chosen.population is not None:
        hint = "write batch" if "batch" in known else "remove the key"
        raise OptimiserError(f"optimiser.population: expected none with kind {chosen.kind}; {hint}")
    options = chosen.options
    for name in options:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(known)}"
            raise OptimiserError(f"optimiser.{name}: expected an option of {chosen.kind}; {hint}")
    return options


def _check_cold(chosen: OptimiserConfig) -> None:
    if chosen.warm_start:
        raise OptimiserError(
            f"optimiser.warm_start: expected none with {chosen.kind}, which begins with the parents; use another kind"
        )


def _preference(config: CampaignConfig, given: object) -> dict[str, float]:
    """Return objective -> weight in the campaign's order; objectives that are not named count nothing."""
    names = [objective.name for objective in config.objectives]
    if given is None:
        return {objective.name: objective.weight for objective in config.objectives}
    if not isinstance(given, dict):
        raise OptimiserError(f"optimiser.preference: expected objective: weight, found {given!r}")
    for name, weight in given.items():
        if name not in names:
            raise OptimiserError(f"optimiser.preference: expected objectives among {names}, found {name!r}")
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise OptimiserError(f"optimiser.preference.{name}: expected a number of at least 0, found {weight!r}")
    return {name: float(given.get(name, 0.0)) for name in names}


def _parent_weights(config: CampaignConfig, space: SearchSpace[Any]) -> list[tuple[float, float]]:
    """Return the bounds of the parents' weights; raises where the genes are anything else."""
    if not isinstance(space, WeightSpace):
        raise OptimiserError(f"optimiser: nested_map expects a space of weights, found {config.space.kind}")
    others = [str(info) for info in space.gene_names() if info.parameter != "weight"]
    operators = {rule.operator for rule in space.decode(np.full(space.dim, 0.5)).rules}
    wrong = sorted(operators - {*NESTS, "passthrough"})
    if wrong:
        raise OptimiserError(
            f"optimiser: nested_map expects the operator {' or '.join(NESTS)}, found {', '.join(wrong)}: a pair of "
            "models merged by it is no model that it could merge again; choose map"
        )
    parents = [info.parent for info in space.gene_names()]
    if others or len(set(parents)) < len(parents):
        raise OptimiserError(
            f"optimiser: nested_map expects one weight per parent as the only genes, found {len(parents)} genes, such "
            f"as {(others or [str(space.gene_names()[-1])])[0]!r}; set groups: {{layer_blocks: 1, modules: [all]}} and "
            "freeze the other genes"
        )
    return [(float(info.values[0]), float(info.values[1])) for info in space.gene_names()]


def _soups(space: SearchSpace[Any]) -> tuple[tuple[str, ...], Callable[[tuple[int, ...]], Genome]]:
    """Return the merged parents, and the genome of a plain average of some; raises where there is none."""
    refused = OptimiserError(
        "optimiser: greedy_soup expects a space that holds every plain average of some parents: the operator linear, "
        "and free weights from 0 or affine ones"
    )
    if not isinstance(space, WeightSpace):
        raise refused
    uniform = next(landmark.recipe for landmark in space.landmarks() if landmark.name == "uniform mean")
    parents = tuple(i.parent for i in uniform.rules[0].inputs)

    def genome_of(members: tuple[int, ...]) -> Genome:
        shares = [1.0 / len(members) if i in members else 0.0 for i in range(len(parents))]
        inputs = tuple(Input(parent, {"weight": share}) for parent, share in zip(parents, shares, strict=True))
        rule = replace(uniform.rules[0], inputs=inputs)
        return np.asarray(space.encode(replace(uniform, rules=(rule,))))

    genes = {info.parameter for info in space.gene_names()}
    if not genes <= {"weight", CONTRAST}:
        raise refused
    for parent in range(len(parents)):
        for rule in space.decode(genome_of((parent,))).rules:
            found = {i.parent: float(i.parameters.get("weight", 1.0)) for i in rule.inputs}
            total = sum(found.values())
            alone = {name: float(name == parents[parent]) for name in parents}
            if rule.operator not in ("linear", "passthrough") or (
                rule.operator == "linear" and any(abs(found[name] / total - alone[name]) > 1e-4 for name in parents)
            ):
                raise refused
    return parents, genome_of


def _follower(given: object) -> OptimiserConfig:
    if not isinstance(given, dict) or given.get("kind") in (None, "greedy_soup", "m2n2"):
        raise OptimiserError(f"optimiser.then: expected an optimiser such as {{kind: cma_es}}, found {given!r}")
    try:
        return OptimiserConfig.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("optimiser", "then", *first["loc"])))
        raise OptimiserError(f"{where}: {first['msg']}, found {first['input']!r}") from error
