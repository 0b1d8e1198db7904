"""The options of pymoo's algorithms: ours, and pymoo's own by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, JsonValue, model_validator

from evomerge.kinds import checked, constructed
from evomerge.optimisers.options import OptimiserOptions, Population
from evomerge.optimisers.problem import Problem
from evomerge.optimisers.protocol import Optimiser
from evomerge.optimisers.pymoo.pymoo_catalogue import ALGORITHMS
from evomerge.wording import did_you_mean, mismatch, refuse

# Names that others give to keys of ours.
_OURS: Mapping[str, str] = {
    "popsize": "write population",
    "pop_size": "write population",
    "seed": "write the campaign's own key seed",
}
if TYPE_CHECKING:
    Algorithm = str
else:
    Algorithm = Literal[tuple(ALGORITHMS)]


class Pymoo(OptimiserOptions, extra="allow"):
    """One of pymoo's algorithms: nsga2, nsga3, sms_emoa, moead, ... look for the Pareto front, ga, de, pso, ...
    maximise the weighted mean of the objectives. Further keys go to pymoo by its own names."""  # noqa: D205, D209

    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    kind: Algorithm = "nsga2"
    population: Population = None
    """Candidates per generation; left out: 24, or one per reference direction."""

    @constructed
    def __init__(self, kind: str = "nsga2", /, **options: Any) -> None:
        super().__init__(**{"kind": kind, **options})

    @property
    def maximises_mean(self) -> bool:
        """Whether it is for one objective."""
        return ALGORITHMS[self.kind].of_mean

    @property
    def takes_landmarks(self) -> bool:
        """Whether it has a first population, which they belong to."""
        return ALGORITHMS[self.kind].population is not None

    @property
    def needs_every_answer(self) -> str:
        """Whether its steps follow single values, or it learns from one at a time."""
        return ALGORITHMS[self.kind].needs_every_answer

    @property
    def needs_same_items(self) -> str:
        """Whether its steps follow single values."""
        return ALGORITHMS[self.kind].needs_same_items

    @model_validator(mode="after")
    def _has_a_population(self) -> Pymoo:
        entry = ALGORITHMS[self.kind]
        if self.population is not None and entry.population is None:
            hint = "the number of ref_dirs is the population" if entry.directions else "it has none"
            refuse([mismatch(f"no such key with kind {self.kind}", str(self.population), hint, at=["population"])])
        return self

    def check(self) -> None:
        """Check pymoo's options by the signatures of its classes."""
        given = self.__pydantic_extra__
        if not given and not ALGORITHMS[self.kind].required:
            return
        from evomerge.optimisers.pymoo.algorithm import options_of

        hints = {key: _OURS.get(key) or did_you_mean(key, type(self).model_fields) for key in given}
        known = options_of(self.kind)
        wrong = [key for key, hint in hints.items() if hint and key not in known.model_fields]
        if wrong:
            refuse([mismatch("an option of pymoo", f"'{key}'", hints[key], at=[key]) for key in wrong])
        checked(known, given)

    def build(self, problem: Problem) -> Optimiser[Any]:
        """Return a fresh search."""
        from evomerge.optimisers.pymoo.pymoo_adapter import PymooOptimiser

        return PymooOptimiser(
            problem.dim,
            n_objectives=problem.n_objectives,
            seed=problem.seed,
            algorithm=self.kind,
            population=self.population,
            options=self.__pydantic_extra__,
            starts=problem.starts[: self.population],
            scored=problem.scored[: self.population],
            weights=problem.weights,
        )
