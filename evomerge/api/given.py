"""Objects of a user's own in a search: an optimiser with ask and tell, a space with decode and encode.

The campaign file records their classes, `{kind: object, type: MODULE:CLASS}`; whoever resumes the search hands in the
objects again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomerge.assembly.parts import alone
from evomerge.config import CampaignConfig, ConfigError
from evomerge.config.errors import ConfigProblem
from evomerge.kinds import RECORDED
from evomerge.optimisers.protocol import Optimiser
from search_spaces.recipes.recipe import Recipe
from search_spaces.spaces.genes import GeneInfo
from search_spaces.spaces.space import Landmark, SearchSpace
from search_spaces.spaces.structure import Structure

Genome = NDArray[np.float64]


@dataclass(frozen=True)
class Given:
    """What a user handed in.

    Attributes:
        space: has `decode` and `encode`; None: the config names a kind of space.
        optimiser: has `ask` and `tell`, fresh; or a function that makes one of the search space; None: the config names
            a kind of optimiser.
    """

    space: Any = None
    optimiser: Any = None

    def check(self, config: CampaignConfig, where: str) -> None:
        """Do nothing if every object that a config records is there.

        Raises:
            ConfigError: one is missing; the message says how to go on.
        """
        for section, given in (("space", self.space), ("optimiser", self.optimiser)):
            recorded = getattr(config, section)
            if recorded.kind == RECORDED and given is None:
                expected = f"the object of {getattr(recorded, 'type', 'a class')} that this search began with"
                how = f"go on in Python: evomerge.load({where!r}).resume({section}=...)"
                raise ConfigError(None, [ConfigProblem(section, None, expected, "none", how)])

    def space_of(self, config: CampaignConfig) -> SearchSpace[Any] | None:
        """Return the space that was handed in, as a search uses it; None where there is none."""
        return None if self.space is None else GivenSpace(self.space, config)

    def optimiser_of(self, space: SearchSpace[Any]) -> Optimiser[Any] | None:
        """Return the optimiser that was handed in; None where there is none."""
        is_maker = self.optimiser is not None and not is_optimiser(self.optimiser)
        made: Optimiser[Any] | None = self.optimiser(space) if is_maker else self.optimiser
        return made


@dataclass(frozen=True)
class GivenSpace:
    """A space of a user's own: what it does not have (landmarks, genes, a start) is filled in.

    Attributes:
        own: has `decode(genome)` and `encode(recipe)`; may have `landmarks()`, `gene_names()`, `dim`, `structure` and
            `start()`. The kinds of optimisers that walk through a cube need `dim` at least.
        config: of the campaign.
    """

    own: Any
    config: CampaignConfig

    def decode(self, genome: Any) -> Recipe:
        """Return the recipe of a genome."""
        recipe: Recipe = self.own.decode(genome)
        return recipe

    def encode(self, recipe: Recipe) -> Any:
        """Return the genome of a recipe."""
        return self.own.encode(recipe)

    def landmarks(self) -> list[Landmark]:
        """Return each parent alone, then the space's own landmarks."""
        own: list[Landmark] = self.own.landmarks() if hasattr(self.own, "landmarks") else []
        parents = [Landmark(name, alone(self.config, name)) for name in self.config.sources]
        names = [landmark.name for landmark in own]
        return [*(parent for parent in parents if parent.name not in names), *own]

    def gene_names(self) -> list[GeneInfo]:
        """Return what each number of a genome means."""
        if hasattr(self.own, "gene_names"):
            genes: list[GeneInfo] = self.own.gene_names()
            return genes
        return [GeneInfo(f"gene {i}", None, None, None, (0.0, 1.0)) for i in range(getattr(self.own, "dim", 0))]

    @property
    def structure(self) -> Structure:
        """Which genes are choices; none, unless the space says so."""
        own: Structure | None = getattr(self.own, "structure", None)
        return own or Structure(len(self.gene_names()), indicators=(), on=(0, 0))

    def start(self) -> Genome:
        """Return where a search begins; the middle, unless the space says so."""
        own: Genome = self.own.start() if hasattr(self.own, "start") else np.full(len(self.gene_names()), 0.5)
        return own


def is_optimiser(value: object) -> bool:
    """Return whether a value is a live optimiser."""
    return not isinstance(value, type) and hasattr(value, "ask") and hasattr(value, "tell")


def is_space(value: object) -> bool:
    """Return whether a value is a live space."""
    return not isinstance(value, type) and hasattr(value, "decode") and hasattr(value, "encode")


def recorded(value: Any) -> dict[str, object]:
    """Return the section that records an object, or what makes one."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return {"kind": RECORDED, "type": f"{named.__module__}:{named.__qualname__}"}
