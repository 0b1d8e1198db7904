"""From the `optimiser` section of a campaign file to the optimiser."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomerge.assembly.fronts_and_soups import build_greedy_soup, build_map, build_nested_map
from evomerge.assembly.m2n2 import build_m2n2, m2n2_options
from evomerge.config import CampaignConfig
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.protocol import Optimiser
from evomerge.optimisers.pymoo_catalogue import ALGORITHMS
from search_spaces.space import CubeSpace, SearchSpace
from search_spaces.structure import Structure

Genome = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cube:
    """What an optimiser may know of a space of cube vectors.

    Attributes:
        starts: (dim,) each, where a search begins, the first one first; at least one.
        structure: which genes are choices, and what they govern.
        space: itself, for optimisers that are about the parents; None where only options are checked.
    """

    starts: tuple[Genome, ...]
    structure: Structure
    space: SearchSpace[Any] | None = None

    @property
    def start(self) -> Genome:
        """Where a search begins that begins at one point; (dim,)."""
        return self.starts[0]

    @property
    def dim(self) -> int:
        """Number of genes."""
        return self.structure.dim


def build_optimiser(config: CampaignConfig, space: SearchSpace[Any], starts: Sequence[Genome] = ()) -> Optimiser[Any]:
    """Return a fresh optimiser of a config.

    Args:
        config: of the campaign.
        space: what it searches.
        starts: genomes to begin with instead of the space's own start.

    Raises:
        OptimiserError: an option that the library does not have, a space that it cannot search, or nothing to search.
    """
    if config.optimiser.kind == "m2n2":
        return build_m2n2(config, space)
    if not isinstance(space, CubeSpace):
        raise OptimiserError(
            f"optimiser: expected another kind for the space {config.space.kind}, found {config.optimiser.kind}"
        )
    cube = Cube(tuple(starts) or (space.start(),), space.structure, space)
    return _ON_A_CUBE[config.optimiser.kind](config, cube)


def check_optimiser(config: CampaignConfig) -> None:
    """Check a config's options before anything is loaded.

    Raises:
        OptimiserError: an option that the library does not have.
    """
    if config.optimiser.kind == "m2n2":
        m2n2_options(config)
        return
    _ON_A_CUBE[config.optimiser.kind](config, Cube((np.full(2, 0.5),), Structure(2, indicators=(0,), on=(0, 1))))


def _random(config: CampaignConfig, cube: Cube) -> Optimiser[Genome]:
    from evomerge.optimisers.random_search import RandomSearch

    if config.optimiser.options:
        found = sorted(config.optimiser.options)
        raise OptimiserError(f"optimiser: expected no options with kind random, found {found}")
    return RandomSearch(cube.dim, seed=config.seed)


def _cma_es(config: CampaignConfig, cube: Cube) -> Optimiser[Genome]:
    from evomerge.optimisers.cma_es import CmaEs

    options = config.optimiser.options
    own = {
        name: options.pop(name) for name in ("x0", "sigma0", "restarts", "incpopsize", "sep", "lq") if name in options
    }
    weights = {o.name: o.weight for o in config.objectives}
    if config.optimiser.warm_start and "x0" in own:
        raise OptimiserError("x0: expected no such key beside warm_start, which says where the search begins")
    own = {"x0": cube.start, **own}
    return CmaEs(
        cube.dim, weights=weights, seed=config.seed, population=config.optimiser.population, options=options, **own
    )


def _structured(config: CampaignConfig, cube: Cube) -> Optimiser[Genome]:
    from evomerge.optimisers.structured import StructuredSearch

    options = config.optimiser.options
    unknown = sorted(set(options) - {"discrete", "number_share", "sigma0"})
    if unknown:
        raise OptimiserError(f"optimiser: expected discrete, number_share or sigma0 as options, found {unknown}")
    weights = {o.name: o.weight for o in config.objectives}
    population = config.optimiser.population
    return StructuredSearch(
        cube.structure, cube.starts, weights=weights, seed=config.seed, population=population, **options
    )


def _map(config: CampaignConfig, cube: Cube) -> Optimiser[Genome]:
    return build_map(config, cube.starts, dim=cube.dim)


def _nested_map(config: CampaignConfig, cube: Cube) -> Optimiser[Genome]:
    return build_nested_map(config, cube.space)


def _greedy_soup(config: CampaignConfig, cube: Cube) -> Optimiser[Genome]:
    return build_greedy_soup(config, cube.space, lambda then: _ON_A_CUBE[then.optimiser.kind](then, cube))


def _pymoo(config: CampaignConfig, cube: Cube) -> Optimiser[Genome]:
    from evomerge.optimisers.pymoo_adapter import PymooOptimiser

    return PymooOptimiser(
        cube.dim,
        n_objectives=len(config.objectives),
        seed=config.seed,
        algorithm=config.optimiser.kind,
        population=config.optimiser.population,
        options=config.optimiser.options,
        starts=cube.starts[: config.optimiser.population],
        weights={o.name: o.weight for o in config.objectives},
    )


_ON_A_CUBE: Mapping[str, Callable[[CampaignConfig, Cube], Optimiser[Genome]]] = MappingProxyType(
    {
        "random": _random,
        "cma_es": _cma_es,
        "structured": _structured,
        "map": _map,
        "nested_map": _nested_map,
        "greedy_soup": _greedy_soup,
        **dict.fromkeys(ALGORITHMS, _pymoo),
    }
)
