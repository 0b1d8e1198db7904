"""The options of coarse to fine."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from evomerge.fields import PositiveReal
from evomerge.optimisers.cma.options import CmaEs
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.options import OptimiserOptions
from evomerge.optimisers.problem import Problem
from evomerge.optimisers.protocol import Optimiser
from evomerge.optimisers.registry import AnyOptimiser
from evomerge.wording import in_our_words, in_words, mismatch, refuse


class CoarseToFine(OptimiserOptions):
    """Searches few genes first, one for the whole depth; then thirds of it, modules, and ever finer parts.

    As far as the budget allows to learn the finer genes.
    """

    kind: Literal["coarse_to_fine"] = "coarse_to_fine"
    search: AnyOptimiser = CmaEs()
    """The optimiser of every level, as {kind: nsga2}; left out: cma_es."""
    per_gene: Annotated[PositiveReal, Field(le=1000)] = 3.0
    """Candidates for each gene of a level before it is split, and at least that many left for each of the next one."""

    @property
    def maximises_mean(self) -> bool:
        """Whether its optimiser does."""
        return self.search.maximises_mean

    @property
    def takes_landmarks(self) -> bool:
        """Whether its optimiser does."""
        return self.search.takes_landmarks

    @property
    def needs_every_answer(self) -> str:
        """Why its optimiser does."""
        return self.search.needs_every_answer

    @property
    def needs_same_items(self) -> str:
        """Why its optimiser does."""
        return self.search.needs_same_items

    @property
    def pools_items(self) -> bool:
        """Whether its optimiser does."""
        return self.search.pools_items

    @property
    def learns_from_stopped(self) -> bool:
        """Whether its optimiser does."""
        return self.search.learns_from_stopped

    @property
    def tells_gain(self) -> bool:
        """Whether its optimiser does: at the last level, before which finer genes are to come."""
        return self.search.tells_gain

    @field_validator("search")
    @classmethod
    def _proposes_genes(cls, search: OptimiserOptions) -> OptimiserOptions:
        wrong = search.genomes != "cube" or search.begins_with_parents or search.warm_start
        if wrong or search.kind == "coarse_to_fine":
            hint = "write warm_start beside search" if search.warm_start else ""
            found = f"{in_words(search.kind)}{' with a warm start' if search.warm_start else ''}"
            refuse([mismatch("an optimiser such as {kind: cma_es}", found, hint, at=["kind"])])
        return search

    def check(self) -> None:
        """Check the options of its optimiser."""
        try:
            self.search.check()
        except ValidationError as error:
            refuse(in_our_words(error, type(self.search), under=["search"]))

    def build(self, problem: Problem) -> Optimiser[Any]:
        """Return a fresh search."""
        from evomerge.optimisers.coarse_to_fine.coarse_to_fine import CoarseToFine as Search
        from search_spaces.spaces.ties import levels

        infos = problem.space.gene_names()
        owners = levels(infos, problem.structure) if len(infos) == problem.dim else []
        if len(owners) < 2:
            raise OptimiserError(
                "optimiser: coarse_to_fine expects a space whose groups share parameters, found one without such; "
                "write groups: {layer_blocks: 3} or more, or the optimiser alone"
            )
        return Search(problem, self.search.build, owners, per_gene=self.per_gene)
