"""The options of MAP, and of MAP on pairs of many parents."""

from __future__ import annotations

import logging
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from evomerge.fields import Count, Flag, Real, Whole
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.options import OptimiserOptions
from evomerge.optimisers.problem import Problem
from evomerge.optimisers.protocol import Optimiser

_LOG = logging.getLogger(__name__)
# A pair of models merged by these, weights frozen, is again a model that they merge.
NESTS = ("linear", "task_arithmetic")


class Map(OptimiserOptions):
    """Scores the Pareto front of quadratic surrogates, in rounds (MAP)."""

    learns_from_stopped: ClassVar[bool] = True  # its surrogates weigh values by how sure they are
    takes_landmarks: ClassVar[bool] = True  # its surrogates are fitted to them, too
    landmarks_since: ClassVar[int] = 2

    kind: Literal["map"] = "map"
    initial: Annotated[Whole, Field(ge=3)] | None = None
    """Points before the first fit; left out: (genes + 1)(genes + 2), or less where that is more than 60."""
    batch: Count = 4
    """Points per round."""
    overlap: Flag = True
    """false chooses a round when the last one is complete: better informed, but workers wait."""

    def build(self, problem: Problem) -> Optimiser[Any]:
        """Return a fresh MAP."""
        from evomerge.optimisers.map.amortised_pareto import AmortisedPareto, design_size

        initial = self.initial or design_size(problem.dim)
        if initial >= problem.evaluations:
            _LOG.warning(
                "optimiser: map fits its first surrogates after %d candidates (optimiser.initial), and "
                "budget.evaluations is %d: nothing will be predicted",
                initial,
                problem.evaluations,
            )
        return AmortisedPareto(
            problem.dim,
            n_objectives=problem.n_objectives,
            seed=problem.seed,
            initial=initial,
            batch=self.batch,
            overlap=self.overlap,
            starts=problem.unscored_starts,
            known=list(zip(problem.given, problem.scored, strict=False)),
        )


class NestedMap(OptimiserOptions):
    """Pairs many parents, each pair's front by MAP; for one weight per parent of a linear operator."""

    begins_with_parents: ClassVar[bool] = True
    learns_from_stopped: ClassVar[bool] = True
    needs_same_items: ClassVar[str] = "it pairs the parents by single values"

    kind: Literal["nested_map"] = "nested_map"
    preference: dict[str, Annotated[Real, Field(ge=0)]] | None = None
    """Objective -> weight, to choose a point of each front by; left out: the objectives' weights."""
    per_pair: Annotated[Whole, Field(ge=12)] = 20
    """Evaluations of each pair."""

    def build(self, problem: Problem) -> Optimiser[Any]:
        """Return a fresh nested MAP."""
        from evomerge.optimisers.map.nested_pareto import NestedPareto

        given = problem.weights if self.preference is None else self.preference
        if unknown := sorted(set(given) - set(problem.weights)):
            known = list(problem.objectives)
            raise OptimiserError(f"optimiser.preference: expected objectives among {known}, found {unknown[0]!r}")
        preference = {name: float(given.get(name, 0.0)) for name in problem.objectives}
        bounds = _parent_weights(problem)
        return NestedPareto(bounds, preference=preference, seed=problem.seed, per_pair=self.per_pair)


def _parent_weights(problem: Problem) -> list[tuple[float, float]]:
    import numpy as np

    from search_spaces.spaces.weight_space import WeightSpace

    space = problem.space
    if not isinstance(space, WeightSpace):
        raise OptimiserError(f"optimiser: nested_map expects a space of weights, found {type(space).__name__}")
    others = [str(info) for info in space.gene_names() if info.parameter != "weight"]
    operators = {rule.operator for rule in space.decode(np.full(space.dim, 0.5)).rules}
    wrong = sorted(operators - {*NESTS, "passthrough"})
    if wrong:
        raise OptimiserError(
            f"optimiser: nested_map expects the operator {' or '.join(NESTS)}, found {', '.join(wrong)}: a pair of "
            "models merged by it is no model that it could merge again; choose map"
        )
    parents = [info.parent for info in space.gene_names()]
    if others or len(set(parents)) < len(parents):
        raise OptimiserError(
            f"optimiser: nested_map expects one weight per parent as the only genes, found {len(parents)} genes, such "
            f"as {(others or [str(space.gene_names()[-1])])[0]!r}; set groups: {{layer_blocks: 1, modules: [all]}} and "
            "freeze the other genes"
        )
    return [(float(info.values[0]), float(info.values[1])) for info in space.gene_names()]
