"""From the `optimiser` section of a campaign file to M2N2, whose options are its own and those of its crossover."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args

from evomerge.config import CampaignConfig
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.m2n2 import DEFAULT_POPULATION, M2N2
from evomerge.optimisers.niches import Competition
from search_spaces.genealogy.crossover import Angle
from search_spaces.genealogy.flat_layout import Split
from search_spaces.genealogy.individual import Individual
from search_spaces.genealogy.niche_space import NicheSpace

_CROSSOVER = {"split": ("param", Split), "angle": ("global", Angle)}


def build_m2n2(config: CampaignConfig, space: object) -> M2N2[Individual]:
    """Return a fresh M2N2 of a config.

    Raises:
        OptimiserError: an option is unknown or out of range, or the space is not one of niches.
    """
    if not isinstance(space, NicheSpace):
        raise OptimiserError(f"optimiser: expected a space of kind niches with m2n2, found {config.space.kind}")
    competition, crossover = m2n2_options(config)
    population = config.optimiser.population or DEFAULT_POPULATION
    return M2N2(space.crossover(**crossover), seed=config.seed, population=population, competition=competition)


def m2n2_options(config: CampaignConfig) -> tuple[Competition, dict[str, Any]]:
    """Return the options of the competition and those of the crossover, checked.

    Raises:
        OptimiserError: one is unknown or out of range.
    """
    if config.optimiser.warm_start:
        raise OptimiserError("warm_start: expected none with m2n2, which begins with the parents; add to the parents")
    options = config.optimiser.options
    crossover = {name: options.pop(name, default) for name, (default, _) in _CROSSOVER.items()}
    for name, value in crossover.items():
        known = get_args(_CROSSOVER[name][1])
        if value not in known:
            raise OptimiserError(f"{name}: expected one of {', '.join(known)}, found {value!r}")
    own = [field.name for field in fields(Competition)]
    for name in options:
        if name not in own:
            raise OptimiserError(f"{name}: expected an option of m2n2, one of {', '.join([*own, *_CROSSOVER])}")
    return Competition(**options), crossover
