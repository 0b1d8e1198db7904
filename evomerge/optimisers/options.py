"""What the options of every optimiser have in common: the section `optimiser` of a campaign file."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator
from pydantic_core import InitErrorDetails

from evomerge.fields import SECTION, Text, Whole
from evomerge.kinds import constructed, from_signature
from evomerge.optimisers.problem import PROVIDED, Problem
from evomerge.optimisers.protocol import Optimiser
from evomerge.wording import in_words, mismatch, refuse


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Population = Annotated[Whole, Field(ge=2, le=100_000)] | None
WarmStart = Annotated[tuple[Text, ...], BeforeValidator(_as_list, json_schema_input_type=str | list[str])]


class OptimiserOptions(BaseModel):
    """Who proposes genomes: the options of one kind of optimiser, and how it is built."""

    model_config = SECTION

    genomes: ClassVar[Literal["cube", "individuals", "any"]] = "cube"
    begins_with_parents: ClassVar[bool] = False
    landmarks_since: ClassVar[int] = 1  # by which rules of proposing (`problem.RULES`) it begins at landmarks

    @constructed
    def __init__(self, /, **options: Any) -> None:
        super().__init__(**options)

    kind: str
    """Who proposes genomes."""
    warm_start: WarmStart = ()
    """Where to begin: mergekit YAML files, recipes of ours (.json), directories of other runs (their fronts), or
    gradient: where a descent on the space's own groups ends, or importance: a path without 0 to 1/2 of its half layers,
    those that change the hidden state least. They are scored first, and the optimiser starts there."""

    @property
    def maximises_mean(self) -> bool:
        """Whether it maximises the weighted mean of the objectives, and nothing else."""
        return False

    @property
    def takes_landmarks(self) -> bool:
        """Whether it can begin with what landmarks reached that its space can express."""
        return False

    @property
    def begins_at_landmarks(self) -> bool:
        """Whether it does: where no warm start says where."""
        return self.takes_landmarks and not self.warm_start

    @property
    def needs_every_answer(self) -> str:
        """Why every candidate has to answer every item; empty where some may be stopped early."""
        return ""

    @property
    def needs_same_items(self) -> str:
        """Why all candidates have to answer the same items; empty where each may answer some of its own."""
        return ""

    @property
    def generation(self) -> int | None:
        """How many it proposes before it learns where a schedule stops some (`InGenerations`); None: as it is."""
        return None

    @property
    def learns_from_stopped(self) -> bool:
        """Whether it learns from the values of candidates that were stopped early, not from their rank alone."""
        return False

    @property
    def pools_items(self) -> bool:
        """Whether it learns from item scores whichever items they are of, so that items of their own are best."""
        return False

    @property
    def tells_gain(self) -> bool:
        """Whether it can say when nothing is left to gain (`budget.stop`)."""
        return False

    def searched(self, space: Any) -> Any:
        """Return the section of the space that it searches, where the campaign's is only the frame of it."""
        return space

    def space_problems(self, space: Any) -> list[InitErrorDetails]:  # noqa: ARG002
        """Return why it cannot search the space that a section describes."""
        return []

    def check(self) -> None:
        """Check options that go to a library by its own names; the library is loaded for it."""

    def build(self, problem: Problem) -> Optimiser[Any]:
        """Return a fresh optimiser; raises an OptimiserError where the problem is none for it."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _begins_somewhere(self) -> OptimiserOptions:
        if self.warm_start and self.begins_with_parents:
            hint = "it begins with the parents; use another kind"
            refuse([mismatch(f"none with {self.kind}", in_words(self.warm_start), hint, at=["warm_start"])])
        return self


class Random(OptimiserOptions):
    """Genomes drawn uniformly: the baseline."""

    kind: Literal["random"] = "random"

    def build(self, problem: Problem) -> Optimiser[Any]:
        """Return a fresh random search."""
        from evomerge.optimisers.random_search import RandomSearch

        return RandomSearch(problem.dim, seed=problem.seed)


class OutsideOptimiser(OptimiserOptions):
    """An optimiser of another package: its constructor's signature is its list of options."""

    factory: ClassVar[Callable[..., Any]]
    wanted: ClassVar[tuple[str, ...]] = ()
    maximises_mean: ClassVar[bool] = False
    needs_every_answer: ClassVar[str] = ""
    needs_same_items: ClassVar[str] = ""
    pools_items: ClassVar[bool] = False
    tells_gain: ClassVar[bool] = False

    def build(self, problem: Problem) -> Optimiser[Any]:
        """Return a fresh optimiser."""
        own = {name: value for name, value in self if name not in ("kind", "warm_start")}
        built: Optimiser[Any] = type(self).factory(**{name: getattr(problem, name) for name in self.wanted}, **own)
        return built


@cache  # equal sections are of one class
def outside_optimiser(kind: str, factory: Callable[..., Any]) -> type[OptimiserOptions]:
    """Return the options of a class or function that returns an optimiser; see `from_signature`."""
    section, wanted = from_signature(kind, factory, OutsideOptimiser, PROVIDED)
    section.factory, section.wanted = staticmethod(factory), wanted
    section.tells_gain = hasattr(factory, "gain_left")
    # What the class says of itself.
    for name in ("genomes", "maximises_mean", "needs_every_answer", "needs_same_items", "pools_items"):
        setattr(section, name, getattr(factory, name, getattr(OutsideOptimiser, name)))
    return section
