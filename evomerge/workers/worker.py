"""A worker: one resident model that becomes each candidate in turn, and is scored."""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from evomerge.candidate import Candidate, Done, Failure, Scored, Stage
from fitness.errors import FitnessError
from fitness.protocols import Fitness
from fitness.scores import Budget
from search_spaces.errors import SpaceError
from search_spaces.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn


class Resident(Protocol):
    """A live model whose weights are overwritten in place (`search_spaces.weights.resident.ResidentModel`)."""

    @property
    def model(self) -> nn.Module:
        """The live module."""
        ...

    def become(self, recipe: Recipe) -> object:
        """Overwrite every parameter with the recipe's; a failed call leaves nothing that the next call would keep."""
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

    def _attempt(self, candidate: Candidate, budget: Budget) -> tuple[Done, bool]:
        """Return the outcome, and whether memory ran out. No reference to the failed frames' tensors survives."""
        stage: Stage = "merge"
        try:
            self._prepare(budget)
            self._resident.become(candidate.recipe)
            stage = "evaluate"
            return Scored(candidate, self._fitness.evaluate(self._resident.model, budget), seconds=0.0), False
        # The only broad except of the project: whatever one candidate's weights do to torch, a tokenizer or a user's
        # task must not end a campaign. KeyboardInterrupt and SystemExit are no `Exception` and pass through.
        except Exception as error:
            return Failure(candidate, stage, reason(error), traceback=traceback.format_exc()), _is_out_of_memory(error)


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
