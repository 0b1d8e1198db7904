"""A merge and a path through it at once: the section, and the space that it describes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import field_validator
from pydantic_core import InitErrorDetails

from evomerge.spaces.layer_flow import LayerFlow
from evomerge.spaces.options import Ingredients, SpaceOptions
from evomerge.spaces.weights import Weights
from evomerge.wording import in_words, mismatch, refuse
from search_spaces.recipes.layer_path import MERGED

if TYPE_CHECKING:
    from search_spaces.spaces.space import SearchSpace


class Joint(SpaceOptions):
    """A merge of all parents, and a path through its layers and the parents' own, searched at once."""

    has_paths: ClassVar[bool] = True

    kind: Literal["joint"] = "joint"
    merge: Weights = Weights()
    """The merged model, as a space of kind weights describes it."""
    flow: LayerFlow = LayerFlow()
    """The path, as a space of kind layer_flow describes it; `merged` is among the sources."""

    @field_validator("merge")
    @classmethod
    def _is_the_same_for_a_block(cls, merge: Weights) -> Weights:
        if merge.groups.depth == "linear":
            hint = "a path that leaves out a knot's layer would not tell the knot's genes"
            refuse([mismatch("constant in a joint space", "'linear'", hint, at=["groups", "depth"])])
        if merge.groups.modules == ("tensor",):
            hint = "a path's layers would share the genes of one"
            refuse([mismatch("blocks of layers in a joint space", "[tensor]", hint, at=["groups", "modules"])])
        return merge

    @property
    def informed(self) -> tuple[str, ...]:
        """Names of the merge's operators that read statistics of the parents."""
        return self.merge.informed

    @property
    def cautions(self) -> tuple[str, ...]:
        """Those of the merge's operators."""
        return self.merge.cautions

    def problems(self, parents: Sequence[str] | None, base: Sequence[str] | None) -> list[InitErrorDetails]:
        """Return what does not suit a campaign's checkpoints."""
        if parents is None:
            return []
        found: list[InitErrorDetails] = [
            {**problem, "loc": ("merge", *problem["loc"])} for problem in self.merge.problems(parents, base)
        ]
        names = [*(base or ()), *parents]
        if MERGED in names:
            expected = f"no parent called {MERGED}, as the merged model is"
            found.append(mismatch(expected, in_words(MERGED), at=["kind"]))
        return found + self.flow.source_problems(names, joint=True, at=["flow"])

    def build(self, given: Ingredients) -> SearchSpace[Any]:
        """Return the space of both."""
        from search_spaces.spaces.joint import JointSpace

        self.flow.check_scales(given.parents[given.base])
        sources = self.flow.sources or (MERGED, *given.names)
        return JointSpace(
            self.merge.build(given),
            n_layers=given.n_layers,
            flow=self.flow.flow,
            sources=sources,
            embeddings_from=self.flow.embeddings_from or sources[0],
            outlets=self.flow.outlets(given.parents[given.base]),
        )
