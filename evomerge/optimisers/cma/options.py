"""The options of CMA-ES: ours, and pycma's own by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, JsonValue, model_validator

from evomerge.fields import Count, Flag, Real, Share, is_number
from evomerge.optimisers.options import OptimiserOptions, Population
from evomerge.optimisers.problem import Problem
from evomerge.optimisers.protocol import Optimiser
from evomerge.wording import did_you_mean, in_words, mismatch, refuse

# pycma's options that would break a promise of ours, and what to use instead.
OWNED_OPTIONS: Mapping[str, str] = {
    **dict.fromkeys(["bounds", "BoundaryHandler"], "genomes live in the unit cube; set bounds under `space`"),
    **dict.fromkeys(["popsize", "popsize_factor", "pop_size"], "write population"),
    **dict.fromkeys(["seed", "randn"], "random numbers come from the campaign's own key seed"),
    **dict.fromkeys(["timeout", "signals_filename"], "it would make a resumed search differ; use `budget`"),
    **dict.fromkeys(["integer_variables", "fixed_variables"], "the search space freezes genes and decodes choices"),
    **dict.fromkeys(["scaling_of_variables", "transformation", "typical_x"], "the search space scales genes"),
    **dict.fromkeys(["termination_callback", "is_feasible", "CMA_sampler", "CMA_eigenmethod"], "it is code"),
    "noise_handling": "scores are the same whenever they are taken",
    "CMA_diagonal": "use `sep: true`",
}


class CmaEs(OptimiserOptions, extra="allow"):
    """CMA-ES on the weighted mean of the objectives; further keys go to pycma by its own names (`cma.CMAOptions`)."""

    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    maximises_mean: ClassVar[bool] = True

    kind: Literal["cma_es"] = "cma_es"
    population: Population = None
    """Candidates per generation; left out: pycma's 4 + 3 ln(genes)."""
    x0: Share | tuple[Share, ...] | None = None
    """Where the first search starts: one gene value for all, or one for each; left out: at the warm start, or the
    space's own start."""
    sigma0: Annotated[Real, Field(gt=0, le=1)] = 1 / 6
    """Initial standard deviation of every gene; the cube's side is 1."""
    restarts: Literal["same", "ipop", "bipop"] = "same"
    """How a search that converged starts again from a random point: the same, with larger populations, or with small
    and large ones. With same, one that stops because scores tie goes on where it is, in finer steps."""
    incpopsize: Count | None = None
    """What ipop and bipop multiply the population by; left out: 2."""
    sep: Flag = False
    """Learn variances only, no covariances: for hundreds of genes."""
    lq: Flag = False
    """Let a linear or quadratic model stand in for most evaluations: for about 20 genes at most."""

    @property
    def takes_landmarks(self) -> bool:
        """Whether the best of them is where its first search starts: unless x0 says where."""
        return self.x0 is None

    @property
    def needs_every_answer(self) -> str:
        """Whether a surrogate learns from it."""
        return "its surrogate is fitted to values that are equally exact" if self.lq else ""

    @property
    def needs_same_items(self) -> str:
        """Whether a surrogate learns from it, which takes values for exact."""
        return "its surrogate takes every value for exact" if self.lq else ""

    @model_validator(mode="after")
    def _starts_at_one_place(self) -> CmaEs:
        if self.warm_start and self.x0 is not None:
            hint = "warm_start says where the search begins"
            refuse([mismatch("no such key beside warm_start", in_words(self.x0), hint, at=["x0"])])
        return self

    def check(self) -> None:
        """Check pycma's options; pycma would evaluate a text as code."""
        if not self.__pydantic_extra__:
            return
        import cma

        known = set(cma.CMAOptions.defaults()) - set(OWNED_OPTIONS)
        problems = []
        for name, value in self.__pydantic_extra__.items():
            expected, found, hint = "", f"'{name}'", ""
            if name in OWNED_OPTIONS or name.startswith("verb"):
                expected = "an option of pycma that evomerge passes on"
                hint = OWNED_OPTIONS.get(name, "evomerge logs by itself")
            elif name not in known:
                expected = "an option of pycma"
                hint = did_you_mean(name, [*type(self).model_fields, *known]) or "`cma.CMAOptions()` lists them"
            elif not all(is_number(v) or isinstance(v, bool) for v in (value if isinstance(value, list) else [value])):
                expected, found = "a number, a boolean or a list of numbers", in_words(value)
            if expected:
                problems.append(mismatch(expected, found, hint, at=[name]))
        if problems:
            refuse(problems)

    def build(self, problem: Problem) -> Optimiser[Any]:
        """Return a fresh CMA-ES."""
        from evomerge.optimisers.cma.cma_es import CmaEsSearch

        return CmaEsSearch(
            problem.dim,
            weights=problem.weights,
            seed=problem.seed,
            population=self.population,
            x0=problem.start if self.x0 is None else self.x0,
            spread=problem.spread,
            options=self.__pydantic_extra__,
            goes_on_at_ties=problem.rules >= 2,
            **self.model_dump(include={"sigma0", "restarts", "incpopsize", "sep", "lq"}),
        )
