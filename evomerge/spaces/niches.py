"""Individuals of M2N2: the section, and the space that it describes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from evomerge.spaces.options import Ingredients, SpaceOptions

if TYPE_CHECKING:
    from search_spaces.spaces.space import SearchSpace


class Niches(SpaceOptions):
    """Individuals of M2N2: linear combinations of the parents that change at split points; for the optimiser m2n2."""

    genomes: ClassVar[Literal["cube", "individuals", "any"]] = "individuals"

    kind: Literal["niches"] = "niches"

    def build(self, given: Ingredients) -> SearchSpace[Any]:
        """Return the space of individuals."""
        from search_spaces.spaces.niches.niche_space import NicheSpace

        return NicheSpace(given.parents, given.base, merge_base=given.merge_base, dtype=given.dtype)
