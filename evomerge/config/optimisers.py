"""The section `optimiser` of a campaign file: who proposes genomes."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from evomerge.config.errors import did_you_mean, mismatch, refuse
from evomerge.config.paths import StartPath
from evomerge.config.sections import Whole

# pymoo's algorithms that look for the Pareto front.
FrontKind: TypeAlias = Literal[
    "nsga2", "nsga3", "unsga3", "rnsga2", "rnsga3", "rvea", "spea2", "sms_emoa", "moead", "moead_parallel",
    "ctaea", "cmopso", "mopso_cd", "gde3", "gde3_mnn", "gde3_2nn", "gde3_pcd", "nsde", "nsder", "omni_optimizer",
]  # fmt: skip
# pymoo's algorithms that maximise the weighted mean of the objectives.
MeanKind: TypeAlias = Literal[
    "ga", "niche_ga", "brkga", "de", "es", "sres", "isres", "g3pcx", "pso", "eppso", "nrbo", "nelder_mead",
    "pattern_search", "direct",
]  # fmt: skip


def as_list(value: object) -> object:
    """Read one text as a list of one."""
    return [value] if isinstance(value, str) else value


class OptimiserConfig(BaseModel):
    """Who proposes genomes. Further keys go to the library (pycma, pymoo) by its own names."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True, hide_input_in_errors=True)
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    kind: Literal["cma_es", "structured", "random", "m2n2", "map", "nested_map", "greedy_soup", FrontKind, MeanKind]
    """cma_es (pycma), ga, de, pso, ... (pymoo) maximise the weighted mean of the objectives; nsga2, nsga3, sms_emoa,
    moead, ... (pymoo) look for the Pareto front; structured maximises the mean over choices and numbers (layer_flow,
    joint, several operators) with its options discrete (one_plus_lambda or ga), number_share and sigma0; m2n2 breeds
    parents that complement each other item by item, in a space of kind niches; map scores the Pareto front of quadratic
    surrogates (initial, batch, overlap), nested_map pairs many parents (preference, per_pair); greedy_soup averages
    ever more parents, then hands over (then: {kind: ...}); random is a baseline."""
    population: Annotated[Whole, Field(ge=2)] | None = None
    """Candidates per generation; left out: 24 for pymoo, or one per reference direction; pycma's own choice for
    cma_es; 20 members for m2n2."""

    warm_start: Annotated[tuple[StartPath, ...], BeforeValidator(as_list, json_schema_input_type=str | list[str])] = ()
    """Where to begin: mergekit YAML files, recipes of ours (.json), directories of other runs (their fronts). They are
    scored first, and the optimiser starts from them."""

    @property
    def maximises_mean(self) -> bool:
        """Whether it maximises the weighted mean of the objectives, and nothing else."""
        return self.kind in ("cma_es", "structured", *get_args(MeanKind))

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
