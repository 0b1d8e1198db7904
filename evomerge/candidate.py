"""A candidate's life: asked with a genome, scored item by item or failed, told as an outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from fitness.scores import Estimate, ItemScores
from search_spaces.recipes.recipe import Recipe

Stage = Literal["merge", "evaluate", "estimate", "worker", "deadline"]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A numbered recipe of a campaign.

    Attributes:
        number: counts all candidates of the campaign from 0, landmarks first.
        recipe: the merge to score.
        label: a landmark's name; None for what an optimiser proposed.
        proposal: counts the optimiser's genomes from 0; None for landmarks.
        genome: what the optimiser proposed; None for landmarks. The campaign never looks inside.
    """

    number: int
    recipe: Recipe
    label: str | None = None
    proposal: int | None = None
    genome: Any = None

    @staticmethod
    def recorded(number: int, unpack: Callable[[], Recipe], digest: bytes | None, **of_row: Any) -> Candidate:
        """Return a candidate of an archive: its recipe is unpacked when it is first asked for.

        Unpacking those of a long past takes a minute, and a resumed search needs their digests only.
        """
        candidate: Candidate = object.__new__(Candidate)
        vars(candidate).update(number=number, _unpack=unpack, _digest=digest, **of_row)
        return candidate

    def __getattr__(self, name: str) -> Any:
        if name != "recipe" or "_unpack" not in vars(self):  # a recipe that is there is found before this is called
            raise AttributeError(name)
        recipe = vars(self)["_unpack"]()
        vars(self)["recipe"] = recipe
        return recipe

    @property
    def recipe_digest(self) -> str:
        """The recipe's digest, also of one that is not unpacked."""
        known: bytes | None = vars(self).get("_digest")
        return self.recipe.digest if known is None else known.hex()


@dataclass(frozen=True)
class Work:
    """Where a candidate was scored, and what that took; nothing depends on it.

    Attributes:
        node: the machine's name.
        device: what the model computed on: cpu, or the GPU's name.
        merge_seconds: of making its weights, in wall time.
        score_seconds: of all answers.
        peak_bytes: the most GPU memory that was allocated meanwhile; None on a CPU.
        prompt_tokens: that the model ran of what it was asked; what items share is run once. None where nobody counts.
        generated_tokens: that it wrote.
        together: how many candidates were made and scored at once: seconds and tokens are an even share of theirs.
    """

    node: str
    device: str
    merge_seconds: float
    score_seconds: float
    peak_bytes: int | None = None
    prompt_tokens: int | None = None
    generated_tokens: int | None = None
    together: int = 1


@dataclass(frozen=True)
class Scored:
    """A candidate's item scores, as a worker returns them.

    Attributes:
        scores: of its budget's items.
        seconds: wall time of merging and scoring.
        estimate: what it is told with where a schedule stopped it; None: the campaign estimates it from the scores.
        work: how it was scored; None where nobody measured it, as for what was known already.
    """

    candidate: Candidate
    scores: ItemScores
    seconds: float
    estimate: Estimate | None = None
    work: Work | None = None


@dataclass(frozen=True)
class Failure:
    """A candidate that could not be scored: a value, never an exception and never a number.

    Attributes:
        stage: where it happened.
        reason: one line for people.
        attempts: how often it was tried.
        traceback: for the archive; empty when there was none.
    """

    candidate: Candidate
    stage: Stage
    reason: str
    attempts: int = 1
    traceback: str = field(default="", repr=False)
    seconds: float = 0.0


@dataclass(frozen=True)
class Evaluation:
    """A candidate's objectives and item scores, as an optimiser is told them.

    Attributes:
        scores: of the search items that the estimate rests on.
        violation: by how much constraints on objectives are missed, summed over them, plus what it falls short by
            where it was stopped; 0 where it was scored whole and all constraints hold.
    """

    candidate: Candidate
    estimate: Estimate
    scores: ItemScores
    violation: float = 0.0


Done = Scored | Failure
Outcome = Evaluation | Failure
