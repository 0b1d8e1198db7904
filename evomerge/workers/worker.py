"""A worker: one resident model that becomes each candidate in turn, and is scored."""

from __future__ import annotations

import gc
import logging
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from evomerge.candidate import Candidate, Done, Failure, Scored, Stage
from fitness.errors import FitnessError
from fitness.protocols import Fitness
from fitness.scores import Budget, ItemScores
from search_spaces.errors import SpaceError
from search_spaces.recipes.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn


_LOG = logging.getLogger(__name__)


class Resident(Protocol):
    """A live model whose weights are overwritten in place (`search_spaces.live.resident.ResidentModel`)."""

    @property
    def model(self) -> nn.Module:
        """The live module."""
        ...

    def become(self, recipe: Recipe) -> object:
        """Overwrite every parameter with the recipe's; a failed call leaves nothing that the next call would keep."""
        ...


@runtime_checkable
class Assembling(Protocol):
    """A resident that makes several live models at once (`search_spaces.live.layer_surgery.FlowResident`)."""

    def assembled(self, recipes: Sequence[Recipe]) -> list[nn.Module]:
        """Return one model per recipe; their layers tell by `layer_key` which of them are the same function."""
        ...


@runtime_checkable
class JointFitness(Protocol):
    """A fitness that scores several models at once (`fitness.tasks.suite.TaskSuite`)."""

    def evaluate_together(self, models: Sequence[nn.Module], budget: Budget) -> list[ItemScores | FitnessError]:
        """Return what `evaluate` returns for each model, or raises because of it."""
        ...


class Worker:
    """Merges and scores one candidate after another; implements `CandidateWorker`.

    Args:
        resident: the live model.
        fitness: scores it.
        prepare: called before each candidate with its budget; may change the resident's weights.
    """

    def __init__(
        self, resident: Resident, fitness: Fitness, prepare: Callable[[Budget], object] = lambda _: None
    ) -> None:
        self._resident = resident
        self._fitness = fitness
        self._prepare = prepare

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        """Return the item scores, or the failure with its stage `merge` or `evaluate`.

        Running out of memory is tried once more after the caches are emptied; every other error would only repeat.
        """
        started = time.perf_counter()
        done, out_of_memory = self._attempt(candidate, budget)
        if out_of_memory:
            _free_memory()
            done, _ = self._attempt(candidate, budget)
            if isinstance(done, Failure):
                done = replace(done, attempts=2)
        return replace(done, seconds=time.perf_counter() - started)

    def evaluate_together(self, candidates: Sequence[Candidate], budget: Budget) -> list[Done]:
        """Return what `evaluate` returns for each candidate, the seconds that they take together shared evenly.

        Scored together if the resident and the fitness can, equal recipes once; one by one if they cannot, or if that
        raises anything.
        """
        started = time.perf_counter()
        recipes = {candidate.recipe.digest: candidate.recipe for candidate in candidates}
        results = self._scores_together(list(recipes.values()), budget)
        if results is None:
            return [self.evaluate(candidate, budget) for candidate in candidates]
        result_of = dict(zip(recipes, results, strict=True))
        seconds = (time.perf_counter() - started) / len(candidates)
        return [_done(candidate, result_of[candidate.recipe.digest], seconds) for candidate in candidates]

    def _scores_together(self, recipes: Sequence[Recipe], budget: Budget) -> Sequence[ItemScores | FitnessError] | None:
        resident, fitness = self._resident, self._fitness
        if not isinstance(resident, Assembling) or not isinstance(fitness, JointFitness):
            return None
        try:
            self._prepare(budget)
            return fitness.evaluate_together(resident.assembled(recipes), budget)
        except Exception as error:  # one by one it is found whose it is
            _LOG.info("%d candidates are scored one by one: %s", len(recipes), reason(error))
        _free_memory()
        return None

    def _attempt(self, candidate: Candidate, budget: Budget) -> tuple[Done, bool]:
        """Return the outcome, and whether memory ran out. No reference to the failed frames' tensors survives."""
        stage: Stage = "merge"
        try:
            self._prepare(budget)
            self._resident.become(candidate.recipe)
            stage = "evaluate"
            return Scored(candidate, self._fitness.evaluate(self._resident.model, budget), seconds=0.0), False
        # Broad, as above: whatever one candidate's weights do to torch, a tokenizer or a user's task must not end a
        # campaign. KeyboardInterrupt and SystemExit are no `Exception` and pass through.
        except Exception as error:
            return Failure(candidate, stage, reason(error), traceback=traceback.format_exc()), _is_out_of_memory(error)


def _done(candidate: Candidate, result: ItemScores | FitnessError, seconds: float) -> Done:
    if isinstance(result, FitnessError):
        text = "".join(traceback.format_exception(result))
        return Failure(candidate, "evaluate", reason(result), traceback=text, seconds=seconds)
    return Scored(candidate, result, seconds)


def reason(error: BaseException) -> str:
    """Return an error as one line for people; its type is named unless the error was written for them."""
    text = " ".join(str(error).split())
    if isinstance(error, SpaceError | FitnessError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    # The CPU allocator raises a plain RuntimeError.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _free_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
