"""From the `optimiser` section of a campaign file to the optimiser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomerge.config import CampaignConfig
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.protocol import Optimiser
from search_spaces.space import SearchSpace

Genome = NDArray[np.float64]
DEFAULT_POPULATION = 24


def build_optimiser(config: CampaignConfig, space: SearchSpace[Any]) -> Optimiser[Any]:
    """Return a fresh optimiser of a config.

    Raises:
        OptimiserError: an option that the library does not have, or nothing to search.
    """
    return _ON_A_CUBE[config.optimiser.kind](config, len(space.gene_names()))


def check_optimiser(config: CampaignConfig) -> None:
    """Check a config's options before anything is loaded.

    Raises:
        OptimiserError: an option that the library does not have.
    """
    _ON_A_CUBE[config.optimiser.kind](config, 2)


def _random(config: CampaignConfig, dim: int) -> Optimiser[Genome]:
    from evomerge.optimisers.random_search import RandomSearch

    if config.optimiser.options:
        found = sorted(config.optimiser.options)
        raise OptimiserError(f"optimiser: expected no options with kind random, found {found}")
    return RandomSearch(dim, seed=config.seed)


def _cma_es(config: CampaignConfig, dim: int) -> Optimiser[Genome]:
    from evomerge.optimisers.cma_es import CmaEs

    options = config.optimiser.options
    own = {name: options.pop(name) for name in ("x0", "sigma0", "incpopsize") if name in options}
    weights = {o.name: o.weight for o in config.objectives}
    return CmaEs(dim, weights=weights, seed=config.seed, population=config.optimiser.population, options=options, **own)


def _pymoo(config: CampaignConfig, dim: int) -> Optimiser[Genome]:
    from evomerge.optimisers.pymoo_adapter import PymooOptimiser

    return PymooOptimiser(
        dim,
        n_objectives=len(config.objectives),
        seed=config.seed,
        algorithm=config.optimiser.kind,
        population=config.optimiser.population or DEFAULT_POPULATION,
        options=config.optimiser.options,
        starts=[np.full(dim, 0.5)],  # the middle of every range, where CMA-ES starts too
    )


_ON_A_CUBE: Mapping[str, Callable[[CampaignConfig, int], Optimiser[Genome]]] = MappingProxyType(
    {"random": _random, "cma_es": _cma_es, "nsga2": _pymoo}
)
