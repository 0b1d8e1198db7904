"""A worker: one resident model that becomes each candidate in turn, and is scored."""

from __future__ import annotations

import gc
import logging
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias

from evomerge.candidate import Candidate, Done, Failure, Scored, Stage, Work
from evomerge.workers.measured import Measured
from fitness.engine.token_count import TokenTally
from fitness.errors import FitnessError
from fitness.protocols import Fitness
from fitness.scores import Budget, ItemScores
from search_spaces.errors import SpaceError, in_brief
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


ScoreTogether: TypeAlias = Callable[[Sequence[Recipe], Budget, Measured], Sequence[ItemScores | FitnessError]]


class Worker:
    """Merges and scores one candidate after another; implements `CandidateWorker`.

    Args:
        resident: the live model.
        fitness: scores it.
        prepare: called before each candidate with its budget; may change the resident's weights.
        score_together: scores several recipes at once, where that can be done (`FlowResident`, `TaskSuite`), and says
            when they are merged.
        tally: of the tokens that the fitness's engine runs; None: they are not counted.
    """

    def __init__(
        self,
        resident: Resident,
        fitness: Fitness,
        prepare: Callable[[Budget], object] = lambda _: None,
        score_together: ScoreTogether | None = None,
        tally: TokenTally | None = None,
    ) -> None:
        self._resident = resident
        self._fitness = fitness
        self._prepare = prepare
        self._score_together = score_together
        self._tally = tally

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

        Scored together where that can be done, equal recipes once; one by one elsewhere, or if that raises anything.
        """
        started = time.perf_counter()
        recipes = {candidate.recipe.digest: candidate.recipe for candidate in candidates}
        measured = Measured(self._tally)
        results = self._scores_together(list(recipes.values()), budget, measured)
        if results is None:
            return [self.evaluate(candidate, budget) for candidate in candidates]
        result_of = dict(zip(recipes, results, strict=True))
        work = measured.scored(self._resident.model, len(candidates))
        seconds = (time.perf_counter() - started) / len(candidates)
        return [_done(candidate, result_of[candidate.recipe.digest], seconds, work) for candidate in candidates]

    def _scores_together(
        self, recipes: Sequence[Recipe], budget: Budget, measured: Measured
    ) -> Sequence[ItemScores | FitnessError] | None:
        if self._score_together is None:
            return None
        try:
            self._prepare(budget)
            return self._score_together(recipes, budget, measured)
        except Exception as error:  # one by one it is found whose it is
            _LOG.info("%d candidates are scored one by one: %s", len(recipes), reason(error))
        _free_memory()
        return None

    def _attempt(self, candidate: Candidate, budget: Budget) -> tuple[Done, bool]:
        """Return the outcome, and whether memory ran out. No reference to the failed frames' tensors survives."""
        stage: Stage = "merge"
        try:
            self._prepare(budget)
            measured = Measured(self._tally)
            self._resident.become(candidate.recipe)
            stage = "evaluate"
            model = self._resident.model
            measured.merged()
            scores = self._fitness.evaluate(model, budget)
            return Scored(candidate, scores, seconds=0.0, work=measured.scored(model)), False
        # Broad, as above: whatever one candidate's weights do to torch, a tokenizer or a user's task must not end a
        # campaign. KeyboardInterrupt and SystemExit are no `Exception` and pass through.
        except Exception as error:
            return Failure(candidate, stage, reason(error), traceback=traceback.format_exc()), _is_out_of_memory(error)


@dataclass(frozen=True)
class ScreeningWorker:
    """Sends each budget to whom its items belong; implements `CandidateWorker`.

    Attributes:
        scoring: scores benchmark items.
        screening: scores the items of the label-free screen.
        screen_items: their ids.
    """

    scoring: Worker
    screening: Worker
    screen_items: frozenset[str]

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        """Return the item scores, or the failure."""
        return self._worker(budget).evaluate(candidate, budget)

    def evaluate_together(self, candidates: Sequence[Candidate], budget: Budget) -> list[Done]:
        """Return what `evaluate` returns for each candidate."""
        return self._worker(budget).evaluate_together(candidates, budget)

    def _worker(self, budget: Budget) -> Worker:
        return self.screening if budget.items and budget.items[0] in self.screen_items else self.scoring


def _done(candidate: Candidate, result: ItemScores | FitnessError, seconds: float, work: Work) -> Done:
    if isinstance(result, FitnessError):
        text = "".join(traceback.format_exception(result))
        return Failure(candidate, "evaluate", reason(result), traceback=text, seconds=seconds)
    return Scored(candidate, result, seconds, work=work)


def reason(error: BaseException) -> str:
    """Return an error as one line for people; its type is named unless the error was written for them."""
    text = " ".join(str(error).split())
    if isinstance(error, SpaceError | FitnessError) and text:
        return text
    return f"{type(error).__name__}: {in_brief(error, 480)}" if text else type(error).__name__


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    # The CPU allocator raises a plain RuntimeError.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _free_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
