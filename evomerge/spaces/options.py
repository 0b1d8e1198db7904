"""What the options of every search space have in common: the section `space` of a campaign file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel
from pydantic_core import InitErrorDetails

from evomerge.fields import SECTION
from evomerge.kinds import constructed
from search_spaces.operators.registry import find_operator
from search_spaces.recipes.recipe import ExportDtype, OutputTokenizer, ParentSource

if TYPE_CHECKING:
    from search_spaces.parents.parents import Parents
    from search_spaces.spaces.space import SearchSpace


@dataclass(frozen=True, eq=False)
class Ingredients:
    """What a search space is built of; a space of another package asks for these by the names of its parameters.

    Attributes:
        parents: every checkpoint, opened, weights unread.
        sources: name -> source of every checkpoint, the base first when there is one.
        base: name of the checkpoint that gives config and tokenizer.
        merge_base: whether it is one of the models to merge, for want of a base.
        dtype: of the merged weights.
        seed: of random masks.
        tokenizer: of every candidate.
        statistics: parent -> digest of what it computed on prompts; empty where no operator reads any.
        merges: names of checkpoints that are merges of others.
    """

    parents: Parents
    sources: Mapping[str, ParentSource]
    base: str
    merge_base: bool
    dtype: ExportDtype
    seed: int
    tokenizer: OutputTokenizer
    statistics: Mapping[str, str] = field(default_factory=dict)
    merges: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Names of the models to merge."""
        return [name for name in self.sources if self.merge_base or name != self.base]

    @property
    def n_layers(self) -> int:
        """The base's number of layers, of a model with several stacks that of the main one."""
        return self.parents[self.base].architecture.depth

    @property
    def stacks(self) -> dict[str, int]:
        """Stack -> its number of layers in the base, the main one first."""
        return self.parents[self.base].architecture.depths


def kinds_of(operators: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds of statistics that operators read, each once."""
    return tuple(dict.fromkeys(kind for name in operators for kind in find_operator(name).statistics))


class SpaceOptions(BaseModel):
    """What can be built: the options of one kind of search space, and how it is built."""

    model_config = SECTION

    genomes: ClassVar[Literal["cube", "individuals", "any"]] = "cube"
    has_paths: ClassVar[bool] = False  # whether its recipes have layers of their own
    stacked: ClassVar[bool] = False  # whether parents of different depths can be combined
    together: ClassVar[int] = 1  # most candidates that one process scores at once, where the file does not say

    @constructed
    def __init__(self, /, **options: Any) -> None:
        super().__init__(**options)

    kind: str
    """What can be built."""

    @property
    def informed(self) -> tuple[str, ...]:
        """Names of its operators that read statistics of the parents (`Operator.statistics`)."""
        return ()

    @property
    def cautions(self) -> tuple[str, ...]:
        """What its operators' defaults do that nobody would expect, a sentence each; nothing where genes cure it."""
        return ()

    @property
    def statistics(self) -> tuple[str, ...]:
        """Kinds of statistics that they read, each once."""
        return kinds_of(self.informed)

    def problems(self, parents: Sequence[str] | None, base: Sequence[str] | None) -> list[InitErrorDetails]:  # noqa: ARG002
        """Return what does not suit a campaign's checkpoints, by their names; None stands for what is wrong itself."""
        return []

    def build(self, given: Ingredients) -> SearchSpace[Any]:
        """Return the search space; raises a SpaceError where the section does not fit the parents."""
        raise NotImplementedError


class Niches(SpaceOptions):
    """Individuals of M2N2: linear combinations of the parents that change at split points; for the optimiser m2n2."""

    genomes: ClassVar[Literal["cube", "individuals", "any"]] = "individuals"

    kind: Literal["niches"] = "niches"

    def build(self, given: Ingredients) -> SearchSpace[Any]:
        """Return the space of individuals."""
        from search_spaces.spaces.niches.niche_space import NicheSpace

        return NicheSpace(given.parents, given.base, merge_base=given.merge_base, dtype=given.dtype)
