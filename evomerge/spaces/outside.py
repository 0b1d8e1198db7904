"""Search spaces of other packages: anything with `dim`, `decode`, `encode` and `landmarks`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from evomerge.kinds import from_signature
from evomerge.spaces.options import Ingredients, SpaceOptions
from search_spaces.recipes.recipe import Recipe
from search_spaces.spaces.genes import GeneInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from search_spaces.spaces.space import Landmark, SearchSpace, Structure

# Names of parameters that are filled in; all others are options.
PROVIDED = frozenset(
    {
        "parents",
        "sources",
        "base",
        "merge_base",
        "dtype",
        "seed",
        "tokenizer",
        "names",
        "n_layers",
        "statistics",
        "merges",
    }
)


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
    """Return a space that says everything; `FullSpace` says what it leaves out."""
    full = all(hasattr(space, name) for name in ("gene_names", "structure", "start"))
    return space if full else FullSpace(space)


class FullSpace:
    """A space of somebody else's: what it does not say is filled in, genes alike, a search from the middle.

    Args:
        own: has `decode(genome)` and `encode(recipe)`; may have `landmarks()`, `gene_names()`, `structure`, `start()`
            and `dim`, the number of its genes, which optimisers that walk through a cube need at least.
        parents: come before its own landmarks, but for those that it has itself.
    """

    def __init__(self, own: Any, parents: Sequence[Landmark] = ()) -> None:
        self.own, self._parents, self.dim = own, parents, int(getattr(own, "dim", 0))

    def decode(self, genome: Any) -> Recipe:
        """Return the recipe of a genome."""
        recipe: Recipe = self.own.decode(genome)
        return recipe

    def encode(self, recipe: Recipe) -> Any:
        """Return the genome of a recipe."""
        return self.own.encode(recipe)

    def landmarks(self) -> list[Landmark]:
        """Return each parent alone, then the space's own landmarks."""
        own: list[Landmark] = list(self.own.landmarks()) if hasattr(self.own, "landmarks") else []
        names = [landmark.name for landmark in own]
        return [*(parent for parent in self._parents if parent.name not in names), *own]

    def gene_names(self) -> list[GeneInfo]:
        """Return what each number of a genome means."""
        if hasattr(self.own, "gene_names"):
            return list(self.own.gene_names())
        return [GeneInfo(f"gene {i}", None, None, None, (0.0, 1.0)) for i in range(self.dim)]

    @property
    def structure(self) -> Structure:
        """Which genes are choices."""
        from search_spaces.spaces.space import Structure

        own: Structure | None = getattr(self.own, "structure", None)
        return Structure(len(self.gene_names()), indicators=(), on=(0, 0)) if own is None else own

    def start(self) -> NDArray[np.float64]:
        """Return where a search begins."""
        import numpy as np

        return np.asarray(self.own.start()) if hasattr(self.own, "start") else np.full(len(self.gene_names()), 0.5)
