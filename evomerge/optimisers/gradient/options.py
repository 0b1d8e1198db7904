"""The options of the descents: Adam on the coefficients of a linear merge, and Frank-Wolfe among many parents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import InitErrorDetails

from evomerge.fields import Count, FromZero, PositiveReal, Real
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.options import OptimiserOptions
from evomerge.optimisers.problem import Problem
from evomerge.optimisers.protocol import Optimiser
from evomerge.optimisers.terrain import WARM_START, Course, Length, Notes, ObjectiveName, Per, Terrain
from evomerge.wording import in_words, mismatch

if TYPE_CHECKING:
    from evomerge.optimisers.gradient.descent import Descent
    from evomerge.optimisers.gradient.steppers import Stepper

# AdaMerging's released settings (EnnengYang/AdaMerging, src/main_layer_wise_adamerging.py): two batches of 16 a step.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "adamerging": {
        "objective": "entropy",
        "per": "tensor",
        "steps": 500,
        "rate": 1e-3,
        "initial": 0.3,
        "batch": 32,
        "patience": 0,
        "every": 50,
    }
}
Part = Annotated[Real, Field(gt=0, lt=1)]


class Descending(OptimiserOptions):
    """What descents have in common."""

    begins_with_parents: ClassVar[bool] = True

    per: Per = "tensor"
    """What has coefficients of its own: the model, a group of the space, or a tensor; for a merge that joins the
    parents (`merges`) also column, an input column of each tensor."""
    objective: ObjectiveName = "js"
    """What is lowered: js or kl, the divergence from each task's expert along its own answers (no labels); entropy, of
    the answers; nll, of the right answers."""
    items: Count = 30
    """Search items of each task, those that are held back included."""
    held_back: Part = 0.2
    """Share of these items that is not learnt from: the least loss on them says which snapshot is best, and when to
    stop. The campaign's validation and test items are never looked at."""
    batch: Count | None = None
    """Items of each task in one step; left out: all."""
    patience: FromZero = 2
    """The descent ends once so many snapshots in a row are no better on the items held back; 0: never early."""
    steps: Count
    """Of the descent, at most."""
    every: Count
    """Steps between two snapshots; each is a candidate."""
    initial: Real | Literal["auto"]
    """What every coefficient begins as."""

    def searched(self, space: Any) -> Any:
        """Return the section of the space whose genomes are proposed: the campaign's, with one group per tensor, say.

        That of the campaign itself per group.
        """
        if self.per == "group":
            return space
        one = {"layer_blocks": 1, "modules": ("tensor" if self.per == "tensor" else "all",), "depth": "constant"}
        groups = space.groups.model_copy(update=one)
        return space.model_copy(update={"groups": groups})

    def space_problems(self, space: Any) -> list[InitErrorDetails]:
        """Return why a section's space holds no linear merges whose only genes are weights."""
        if self.per == "column":
            hint = "write merges: [{name: learned, descent: {per: column}}], which makes a parent of it"
            expected = "model, group or tensor, as no recipe has coefficients per column"
            return [mismatch(expected, "'column'", hint, at=["per"])]
        operator = getattr(space, "operator", None)
        if space.kind != "weights" or operator != ("task_arithmetic",) or space.weights != "free":
            hint = "write space: {operator: task_arithmetic}"
            found = in_words(space.kind if space.kind != "weights" else operator)
            return [mismatch(f"a space of task_arithmetic with {self.kind}", found, hint, at=["kind"])]
        neutral = {"lambda": 1.0, "normalize": False}
        if others := [name for name, gene in space.genes.items() if name != "weight" and gene != neutral.get(name)]:
            return [mismatch(f"no genes but weight with {self.kind}", in_words(others[0]), at=["kind"])]
        return []

    def descent(self, problem: Problem) -> Descent:
        """Return the descent, which takes its first step when it is asked to."""
        if problem.terrain is None:
            raise OptimiserError(f"optimiser: {self.kind} expects parents and tasks, which only a campaign has")
        return self.descent_on(problem.terrain, problem.seed, problem.notes)

    def descent_on(self, make: Callable[[Course], Terrain], seed: int, notes: Notes) -> Descent:
        """Return the descent on a terrain, which is made when the first step is taken."""
        from evomerge.optimisers.gradient.descent import Descent

        course, length, initial = self.course(seed), self.length, self.initial
        return Descent(lambda: make(course), self.stepper(), length=length, initial=initial, notes=notes)

    def build(self, problem: Problem) -> Optimiser[Any]:
        """Return a fresh descent, or one that goes on from its notes."""
        from evomerge.optimisers.gradient.descent_search import DescentSearch

        return DescentSearch(self.descent(problem))

    def course(self, seed: int) -> Course:
        """Return what the descent learns from."""
        return Course(self.per, self.objective, self.items, self.held_back, self.batch, self.clamps, seed)

    @property
    def clamps(self) -> bool:
        """Whether coefficients are clamped on their way into the weights only."""
        return False

    @property
    def length(self) -> Length:
        """How long the descent is."""
        return Length(self.steps, self.every, self.patience)

    def stepper(self) -> Stepper:
        """Return how it steps, fresh."""
        raise NotImplementedError


class Gradient(Descending):
    """Adam on the coefficients of task vectors: what it finds on its way is scored and archived like any candidate.

    AdaMerging (arXiv 2310.02575) and DivMerge (2509.02108) are points of it.
    """

    kind: Literal["gradient"] = "gradient"
    steps: Count = 60
    """Of the descent, at most."""
    rate: PositiveReal = 2e-2
    """About how far a coefficient moves in one step of Adam."""
    every: Count = 10
    """Steps between two snapshots; each is a candidate."""
    initial: Real | Literal["auto"] = "auto"
    """What every coefficient begins as; auto: the best of one over the number of parents, 0.3, 0.5, 0.7 and 1 on the
    items held back."""
    sparsity: Annotated[Real, Field(ge=0)] = 0.0
    """Penalty on coefficients, in nats per unit of |coefficient|, summed over parents and averaged over what has
    coefficients of its own: with it some are exactly 0."""
    preset: Literal["adamerging"] | None = None
    """adamerging: the settings of AdaMerging's released code, where no other is said: entropy, per tensor, from 0.3,
    500 steps of 1e-3 on batches of 32, coefficients clamped to [0, 1] on their way into the weights."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_preset(cls, data: Any) -> Any:
        preset = data.get("preset") if isinstance(data, dict) else None
        return {**PRESETS[preset], **data} if isinstance(preset, str) and preset in PRESETS else data

    @property
    def clamps(self) -> bool:
        """Whether coefficients are clamped on their way into the weights only."""
        return self.preset == "adamerging"

    def stepper(self) -> Stepper:
        """Return how it steps, fresh."""
        from evomerge.optimisers.gradient.steppers import Adam

        return Adam(self.rate, sparsity=self.sparsity)


def descent_of(optimiser: OptimiserOptions) -> Descending | None:
    """Return the descent that an optimiser is or begins with; None where there is none."""
    if isinstance(optimiser, Descending):
        return optimiser
    return Gradient(per="group") if WARM_START in optimiser.warm_start else None


class FrankWolfe(Descending):
    """Adds parent after parent, each time the one towards which the loss descends most steeply.

    For many parents, some of them irrelevant: who is never chosen keeps the weight 0. FW-Merging (arXiv 2503.12649),
    the hard variant, with inner products where its released code has cosines.
    """

    kind: Literal["frank_wolfe"] = "frank_wolfe"
    per: Per = "model"
    """Whether one parent is chosen for the model, or one for each group of the space or for each tensor."""
    steps: Count = 10
    """Of the descent, at most."""
    every: Count = 1
    """Steps between two snapshots; each is a candidate."""
    initial: Real = 0.0
    """What every coefficient begins as; 0: at the base. The released code begins at 0.3."""
    reach: PositiveReal = 1.0
    """Coefficient of a parent alone: results are in the hull of the base and of parents that are scaled by it."""
    scale: Annotated[Real, Field(gt=0, le=1)] = 1.0
    """Of the steps 2/(t + 2), t from 0; the released code has 0.03."""

    def stepper(self) -> Stepper:
        """Return how it steps, fresh."""
        from evomerge.optimisers.gradient.steppers import FrankWolfe as Stepping

        return Stepping(self.reach, scale=self.scale, together=self.per == "model")
