"""The section `optimiser` of a campaign file: who proposes genomes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from evomerge.config_errors import did_you_mean, mismatch, refuse
from evomerge.config_sections import Whole


class OptimiserConfig(BaseModel):
    """Who proposes genomes. Further keys go to the library (pycma, pymoo) by its own names."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True, hide_input_in_errors=True)
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    kind: Literal["cma_es", "nsga2", "random"]
    """cma_es maximises the weighted mean of the objectives; nsga2 looks for the Pareto front; random is a baseline."""
    population: Annotated[Whole, Field(ge=2)] | None = None
    """Candidates per generation; left out: 24 for nsga2, pycma's own choice for cma_es."""

    @property
    def options(self) -> dict[str, Any]:
        """The library's options, a fresh dict; the optimiser checks them."""
        return dict(self.__pydantic_extra__)


def misspelt_options(optimiser: OptimiserConfig) -> None:
    """Refuse options that are keys of ours in disguise, before they reach a library.

    Raises:
        ValidationError: `popualtion`, `pop_size`, `seed` and the like.
    """
    ours = {"popsize": "population", "pop_size": "population", "seed": "the campaign's own key seed"}
    problems = []
    for key in optimiser.options:
        hint = f"write {ours[key]}" if key in ours else did_you_mean(key, ["population", "kind"])
        if hint:
            problems.append(mismatch("an option of the library", f"'{key}'", hint, at=[key]))
    if problems:
        refuse(problems)
