"""The options of the greedy soup, and the soups of a space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import ValidationError, field_validator

from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.options import OptimiserOptions
from evomerge.optimisers.problem import Problem
from evomerge.optimisers.protocol import Optimiser
from evomerge.optimisers.registry import AnyOptimiser
from evomerge.wording import in_our_words, in_words, mismatch, refuse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from search_spaces.spaces.space import SearchSpace


class GreedySoup(OptimiserOptions):
    """Averages ever more parents, best first, each kept if the average does not get worse; then hands over."""

    begins_with_parents: ClassVar[bool] = True
    needs_every_answer: ClassVar[str] = "every soup is compared with the last one"
    needs_same_items: ClassVar[str] = "every soup is compared with the last one"

    kind: Literal["greedy_soup"] = "greedy_soup"
    then: AnyOptimiser | None = None
    """The optimiser that goes on, as {kind: cma_es, sigma0: 0.1}; left out: the search ends."""

    @field_validator("then")
    @classmethod
    def _searches_the_same_space(cls, then: OptimiserOptions | None) -> OptimiserOptions | None:
        if then is not None and (then.genomes != "cube" or then.begins_with_parents):
            refuse([mismatch("an optimiser such as {kind: cma_es}", in_words(then.kind), at=["kind"])])
        return then

    def check(self) -> None:
        """Check the options of the optimiser that goes on."""
        if self.then is not None:
            try:
                self.then.check()
            except ValidationError as error:
                refuse(in_our_words(error, type(self.then), under=["then"]))

    def build(self, problem: Problem) -> Optimiser[Any]:
        """Return a fresh greedy soup, and what follows it."""
        from evomerge.optimisers.greedy_soup import GreedySoupSearch

        parents, genome_of = _soups(problem.space)
        then = None if self.then is None else self.then.build(problem)
        return GreedySoupSearch(genome_of, n_parents=len(parents), weights=problem.weights, then=then)


def _soups(space: SearchSpace[Any]) -> tuple[tuple[str, ...], Callable[[tuple[int, ...]], NDArray[np.float64]]]:
    """Return the merged parents, and the genome of a plain average of some; raises where there is none."""
    import numpy as np

    from search_spaces.recipes.rule import Input
    from search_spaces.spaces.soup_weights import CONTRAST
    from search_spaces.spaces.weight_space import WeightSpace

    refused = OptimiserError(
        "optimiser: greedy_soup expects a space that holds every plain average of some parents: the operator linear, "
        "and free weights from 0 or affine ones"
    )
    if not isinstance(space, WeightSpace):
        raise refused
    uniform = next(landmark.recipe for landmark in space.landmarks() if landmark.name == "uniform mean")
    made = space.decode(space.start()).rules
    parents = tuple(given.parent for given in max((rule.inputs for rule in made), key=len))

    def genome_of(members: tuple[int, ...]) -> NDArray[np.float64]:
        shares = [1.0 / len(members) if i in members else 0.0 for i in range(len(parents))]
        inputs = tuple(Input(parent, {"weight": share}) for parent, share in zip(parents, shares, strict=True))
        rule = replace(uniform.rules[0], inputs=inputs)
        return np.asarray(space.encode(replace(uniform, rules=(rule,))))

    if not {info.parameter for info in space.gene_names()} <= {"weight", CONTRAST}:
        raise refused
    for parent in range(len(parents)):
        for rule in space.decode(genome_of((parent,))).rules:
            found = {i.parent: float(i.parameters.get("weight", 1.0)) for i in rule.inputs}
            total = sum(found.values())
            alone = {name: float(name == parents[parent]) for name in parents}
            if rule.operator not in ("linear", "passthrough") or (
                rule.operator == "linear" and any(abs(found[name] / total - alone[name]) > 1e-4 for name in parents)
            ):
                raise refused
    return parents, genome_of
