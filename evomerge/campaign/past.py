"""Outcomes, new and recorded: estimates, replay into a fresh optimiser, recipes that were scored already."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from evomerge.archive import Archive, Asked, Record, Told
from evomerge.archive.codec import pack_genome
from evomerge.candidate import Candidate, Done, Evaluation, Failure, Outcome, Scored
from evomerge.errors import EvomergeError
from evomerge.optimisers.protocol import Optimiser, gain_left
from fitness.errors import FitnessError
from fitness.protocols import Estimator
from fitness.scores import Budget, ItemScores
from search_spaces.operators.recipe_facts import merge_shares
from search_spaces.recipes.recipe import Recipe
from search_spaces.spaces.space import SearchSpace

MAX_FAILURES_IN_A_ROW = 5
_LOG = logging.getLogger(__name__)


class CampaignError(EvomergeError):
    """The search cannot go on; everything told before is in the archive."""


def name_of(culprit: object) -> str:
    """Return the name of an object's class; of a user's own, not of what stands around it."""
    return type(getattr(culprit, "own", culprit)).__name__


def at_fault(culprit: object, call: str, expected: str, error: Exception) -> CampaignError:
    """Return what to end with where an optimiser or a space raised."""
    if isinstance(error, CampaignError):
        return error
    name = name_of(culprit)
    fault = CampaignError(
        f"{name}.{call}: expected {expected}, found {type(error).__name__}: {error}; everything told before is saved"
    )
    fault.__cause__ = error
    return fault


def proposed(
    optimiser: Optimiser[Any], space: SearchSpace[Any], n: int, n_asked: int, n_proposals: int
) -> list[Candidate]:
    """Return up to n new candidates: an optimiser's genomes, decoded; a CampaignError says who is at fault."""
    try:
        genomes = list(optimiser.ask(n))
    except Exception as error:
        raise at_fault(optimiser, f"ask({n})", f"at most {n} genomes", error) from error
    if len(genomes) > n:
        raise CampaignError(f"{name_of(optimiser)}.ask({n}): expected at most {n} genomes, found {len(genomes)}")
    candidates = []
    for i, genome in enumerate(genomes):
        try:
            packed = pack_genome(genome)
        except Exception as error:
            raise at_fault(optimiser, f"ask({n})", "genomes of numbers", error) from error
        if packed is None:
            raise CampaignError(f"{name_of(optimiser)}.ask({n}): expected genomes of numbers, found None")
        try:
            recipe = space.decode(genome)
        except Exception as error:
            raise at_fault(space, "decode", "a Recipe", error) from error
        if not isinstance(recipe, Recipe):
            raise CampaignError(f"{name_of(space)}.decode: expected a Recipe, found {type(recipe).__name__}")
        candidates.append(Candidate(n_asked + i, recipe, None, n_proposals + i, genome))
    return candidates


class InCube:
    """A user's own optimiser in a space of genes in [0, 1]: others are refused, where the space would clip them."""

    def __init__(self, own: Optimiser[Any]) -> None:
        self.own = own

    def ask(self, n: int) -> list[Any]:
        """Return its genomes."""
        genomes = list(self.own.ask(n))
        for genome in genomes:
            genes = np.asarray(genome, dtype=np.float64)
            if genome is not None and not np.all((genes >= 0.0) & (genes <= 1.0)):
                raise CampaignError(f"{name_of(self)}.ask({n}): expected genes in [0, 1], found {genes.tolist()}")
        return genomes

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Pass it on."""
        self.own.tell(outcomes)

    def gain_left(self) -> float | None:
        """Return what it expects to gain."""
        return gain_left(self.own)


def not_handed_out(numbers: Sequence[int], running: Collection[int]) -> CampaignError:
    """Return what to refuse candidates with of which one was not asked, or is told again."""
    wrong = next(n for i, n in enumerate(numbers) if n not in running or n in numbers[:i])
    return CampaignError(
        f"tell: expected candidates that `ask` returned, each once, found candidate {wrong}, which was told already or "
        "never asked; nothing was told"
    )


def check_replayed(event: Asked, genomes: Sequence[object]) -> None:
    """Do nothing if an optimiser proposes again what it proposed then, bit for bit."""
    packed = [pack_genome(genome) for genome in genomes]
    if packed != [pack_genome(c.genome) for c in event.candidates]:
        raise CampaignError(
            f"resume: the optimiser proposes other genomes than the archive records for candidate "
            f"{event.candidates[0].number}; expected the versions of cma, pymoo and numpy that the search began "
            "with (`evomerge doctor`): install those, or start a new run directory"
        )


def replayed(archive: Archive, optimiser: Optimiser[Any]) -> Iterator[Asked | Told]:
    """Yield the past, event by event, while a fresh optimiser proposes again what it proposed then."""
    if archive.has("retold"):
        raise CampaignError(
            "resume: expected a search whose items stay the same, found one that rotated them (racing.rotate), "
            "which evomerge no longer does: start a new run directory; its results can still be read"
        )
    for event in archive.history():
        if isinstance(event, Asked) and event.requested is not None:
            try:
                genomes = list(optimiser.ask(event.requested))
            except Exception as error:
                expected = f"at most {event.requested} genomes"
                raise at_fault(optimiser, f"ask({event.requested})", expected, error) from error
            check_replayed(event, genomes)
        yield event


class SearchInterruptedError(EvomergeError):
    """The user stopped the search; everything told is in the archive."""

    exit_code = 130  # what shells and make know Ctrl-C by


def estimated(done: Done, estimator: Estimator) -> Outcome:
    """Return the outcome of what a worker returned, its violation still open."""
    if isinstance(done, Failure):
        return done
    try:
        estimate = done.estimate or estimator.estimate(done.scores, shares=partial(merge_shares, done.candidate.recipe))
        if estimate.split != "search":
            raise FitnessError(f"split: expected items of 'search' only, found {estimate.split!r}")
    except FitnessError as error:
        return Failure(done.candidate, "estimate", str(error), seconds=done.seconds)
    # Answers are the archive's: who learns from scores may hold them for as long as the search lasts.
    scores = replace(done.scores, answers=b"") if done.scores.answers else done.scores
    return Evaluation(done.candidate, estimate, scores)


def recorded_outcome(record: Record, candidate: Candidate) -> Outcome:
    """Return the outcome that an archive records, its violation still open."""
    if record.estimate is not None:
        assert record.scores is not None
        return Evaluation(candidate, record.estimate, record.scores)
    return Failure(
        candidate,
        record.stage or "worker",
        record.reason or "",
        attempts=record.attempts or 1,
        traceback=record.traceback or "",
        seconds=record.seconds,
    )


class FailuresInARow:
    """Counts how many different candidates failed one after the other, in this session."""

    def __init__(self) -> None:
        self._count = 0
        self._last: Failure | None = None
        self.too_many = False

    def note(self, outcomes: Sequence[Outcome]) -> None:
        """Take in outcomes as they arrive."""
        for outcome in outcomes:
            if not isinstance(outcome, Failure):
                self._count = 0
                continue
            _LOG.warning("candidate %d failed (%s): %s", outcome.candidate.number, outcome.stage, outcome.reason)
            self._count += 1
            if self._count == MAX_FAILURES_IN_A_ROW:
                self._last, self.too_many = outcome, True

    def error(self, landmark: str | None) -> CampaignError:
        """Return what to end with: too many failures, or that of a landmark that constraints are measured by."""
        if landmark is not None or self._last is None:
            return CampaignError(
                f"{landmark} failed, and a constraint (at_least) is measured by it: mend the cause, or write a number "
                "for at_least, and start a new run directory"
            )
        return CampaignError(
            f"{MAX_FAILURES_IN_A_ROW} different candidates failed in a row; the last one (candidate "
            f"{self._last.candidate.number}) at stage {self._last.stage}: {self._last.reason}. Everything is saved: "
            "mend the cause and run the same command again"
        )


def as_it_stands(recipe: Recipe) -> None:
    """Return None: nobody else writes a landmark's recipe."""
    del recipe


class ScoreCache:
    """Which recipe was scored as which candidate: who proposes one again is told its scores at once.

    Args:
        archive: keeps the scores.
        as_proposed: a landmark's recipe -> as the space writes the same merge; None where it has none.
    """

    def __init__(self, archive: Archive, as_proposed: Callable[[Recipe], Recipe | None] = as_it_stands) -> None:
        self._archive, self._as_proposed = archive, as_proposed
        self._number_of: dict[str, int] = {}

    def remember(self, evaluation: Evaluation) -> None:
        """Take in who was scored; failures may be tried again."""
        candidate = evaluation.candidate
        self._number_of.setdefault(candidate.recipe_digest, candidate.number)
        if candidate.proposal is None and (same := self._as_proposed(candidate.recipe)) is not None:
            self._number_of.setdefault(same.digest, candidate.number)

    def recall(self, candidate: Candidate, budget: Budget) -> Scored | None:
        """Return a candidate with the scores that its recipe had, in no time; None where they are not all known."""
        number = self._number_of.get(candidate.recipe_digest)
        known = None if number is None else self._archive.scores(number, "search")
        if known is None:
            return None
        if budget.items is None:
            return Scored(candidate, known, 0.0)
        value_of = dict(zip(known.item_ids, known.values.tolist(), strict=True))
        if not all(item in value_of for item in budget.items):
            return None
        return Scored(candidate, ItemScores(budget.items, np.array([value_of[item] for item in budget.items])), 0.0)
