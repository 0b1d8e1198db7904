"""Search spaces of other packages: anything with `dim`, `decode`, `encode` and `landmarks`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from evomerge.kinds import from_signature
from evomerge.spaces.options import Ingredients, SpaceOptions
from search_spaces.recipes.recipe import Recipe
from search_spaces.spaces.genes import GeneInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from search_spaces.spaces.space import Landmark, SearchSpace
    from search_spaces.spaces.structure import Structure

# Names of parameters that are filled in; all others are options.
PROVIDED = frozenset({"parents", "sources", "base", "merge_base", "dtype", "seed", "tokenizer", "names", "n_layers"})


class OutsideSpace(SpaceOptions):
    """A space of another package: its constructor's signature is its list of options."""

    factory: ClassVar[Callable[..., Any]]
    wanted: ClassVar[tuple[str, ...]] = ()

    def build(self, given: Ingredients) -> SearchSpace[Any]:
        """Return the space, with what it leaves unsaid of its genes filled in."""
        own = {name: value for name, value in self if name != "kind"}
        built = type(self).factory(**{name: getattr(given, name) for name in self.wanted}, **own)
        return full_space(built) if self.genomes == "cube" else built


@cache  # equal sections are of one class
def outside_space(kind: str, factory: Callable[..., Any]) -> type[SpaceOptions]:
    """Return the options of a class or function that returns a search space.

    Raises:
        PluginError: its signature asks for what no file can give.
    """
    section, wanted = from_signature(kind, factory, OutsideSpace, PROVIDED)
    section.factory, section.wanted = staticmethod(factory), wanted
    for name in ("genomes", "has_paths", "stacked", "together"):
        setattr(section, name, getattr(factory, name, getattr(SpaceOptions, name)))
    return section


def full_space(space: Any) -> SearchSpace[Any]:
    """Return a space of cube vectors that says everything; what it does not say itself: genes alike, from the middle.

    Args:
        space: it has `dim`, the number of its genes, `decode`, `encode` and `landmarks`.
    """
    full = all(hasattr(space, name) for name in ("gene_names", "structure", "start"))
    return space if full else _Continuous(space)


class _Continuous:
    def __init__(self, space: Any) -> None:
        self._space, self.dim = space, int(space.dim)

    def decode(self, genome: NDArray[np.float64]) -> Recipe:
        recipe: Recipe = self._space.decode(genome)
        return recipe

    def encode(self, recipe: Recipe) -> NDArray[np.float64]:
        genome: NDArray[np.float64] = self._space.encode(recipe)
        return genome

    def landmarks(self) -> list[Landmark]:
        return list(self._space.landmarks())

    def gene_names(self) -> list[GeneInfo]:
        if hasattr(self._space, "gene_names"):
            return list(self._space.gene_names())
        return [GeneInfo(f"gene {i + 1}", None, None, None, (0.0, 1.0)) for i in range(self.dim)]

    @property
    def structure(self) -> Structure:
        from search_spaces.spaces.structure import Structure

        return getattr(self._space, "structure", None) or Structure(self.dim, indicators=(), on=(0, 0))

    def start(self) -> NDArray[np.float64]:
        import numpy as np

        return np.asarray(self._space.start()) if hasattr(self._space, "start") else np.full(self.dim, 0.5)
