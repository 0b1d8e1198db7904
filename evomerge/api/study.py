"""A search by hand: ask for a candidate, score it, tell."""

from __future__ import annotations

import contextlib
import math
import numbers
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from evomerge.api.arguments import callbacks_of, path_of
from evomerge.api.joining import joined
from evomerge.api.run import Run
from evomerge.api.sections import Model, Models, Objectives, campaign
from evomerge.api.session import Session, opened
from evomerge.archive.watching import watched
from evomerge.campaign import RunDirectory
from evomerge.campaign.events import Callback
from evomerge.campaign.run_directory import split_as_begun
from evomerge.candidate import Candidate, Done, Failure, Scored
from evomerge.config import ConfigError, ConfigProblem
from evomerge.errors import EvomergeError
from fitness.scores import ItemScores


class StudyError(EvomergeError, RuntimeError):
    """A study is not used as it can be."""

    exit_code = 2


class Study:
    """The loop of a search in your own hands; everything is recorded as in `evomerge.search`.

    >>> import evomerge as em
    >>> with em.Study(
    ...     parents=["./arithmetic", "./words"],
    ...     base="./base",
    ...     objectives=["words.jsonl"],
    ...     space=em.spaces.Weights("task_arithmetic", layer_blocks=1),
    ...     optimiser="random",
    ...     landmarks="none",
    ...     run_dir="runs/by-hand",
    ... ) as study:
    ...     for _ in range(5):
    ...         candidate = study.ask()
    ...         study.tell(candidate, study.score(candidate))
    ...     study.run(2)
    >>> em.load("runs/by-hand").n_candidates
    7

    A study holds its run directory and a model until it is closed: use it with `with`, or call `close`.
    """

    def __init__(
        self,
        parents: Models,
        objectives: Objectives,
        *,
        base: Model | None = None,
        run_dir: str | Path | None = None,
        callbacks: Callback | Sequence[Callback] = (),
        **sections: Any,
    ) -> None:
        """Open a search, new or of an earlier session; the arguments are those of `evomerge.search`.

        Raises:
            EvomergeError: see `evomerge.search`.
        """
        config, given = campaign(parents, objectives, base=base, **sections)
        if config.stages:
            problem = ConfigProblem("stages", None, "none in a study", f"{len(config.stages)}", "use evomerge.search")
            raise ConfigError(None, [problem])
        directory = RunDirectory(Path("runs") / config.name if run_dir is None else path_of("run_dir", run_dir))
        config = split_as_begun(config, directory, callbacks_of(callbacks))
        config = joined(config, directory, callbacks_of(callbacks))
        with contextlib.ExitStack() as stack:
            self._session: Session = stack.enter_context(opened(config, directory, given, callbacks_of(callbacks)))
            stack.enter_context(watched(self._session.archive))
            self._stack = stack.pop_all()
        self._open = True

    @property
    def result(self) -> Run:
        """What was found so far."""
        return Run(self._session.directory.root)

    def ask(self) -> Candidate | None:
        """Return the next candidate to score, landmarks first; None while the optimiser waits, or at the end."""
        return next(iter(self._campaign.ask(1)), None)

    def score(self, candidate: Candidate) -> Done:
        """Merge a candidate and score it on the items that it has to answer: its scores, or why it failed."""
        campaign, pool = self._campaign, self._session.pool
        while not pool.free:  # Ctrl-C left others behind
            pool.wait()
        pool.submit(candidate, campaign.items(candidate))
        while True:
            for done in pool.wait():
                if done.candidate is candidate:
                    return done

    def tell(self, candidate: Candidate, outcome: Done | ItemScores | Mapping[str, float]) -> None:
        """Record what became of a candidate, and let the optimiser learn from it.

        Args:
            candidate: that `ask` returned.
            outcome: what `score` returned; or scores of your own, item -> score, of just those items, finite.

        Raises:
            StudyError: the scores are of other items, or the outcome is another candidate's; nothing is recorded.
            CampaignError: the candidate was not asked or is told already; or five different ones failed in a row.
        """
        if isinstance(outcome, Mapping | ItemScores):
            outcome = Scored(candidate, self._whole(candidate, outcome), 0.0)
        if not isinstance(outcome, Scored | Failure) or outcome.candidate.number != candidate.number:
            found = f"{outcome.candidate.number}'s" if isinstance(outcome, Scored | Failure) else repr(outcome)
            raise StudyError(f"tell: expected what became of candidate {candidate.number}, found {found}")
        self._campaign.tell([outcome])

    def run(self, n: int | None = None) -> None:
        """Go on by itself: for up to n candidates; None: until the campaign's end."""
        if n is None:
            self._session.run()
            return
        self._campaign.take_back()
        for _ in range(n):
            candidate = self.ask()
            if candidate is None:
                return
            self.tell(candidate, self.score(candidate))

    def close(self) -> None:
        """Let go of the run directory and the model; a second call does nothing."""
        self._open = False
        self._stack.close()

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _whole(self, candidate: Candidate, scores: ItemScores | Mapping[str, float]) -> ItemScores:
        if isinstance(scores, ItemScores):
            scores = dict(zip(scores.item_ids, scores.values.tolist(), strict=True))
        items = self._campaign.items(candidate).items or tuple(self._session.parts.fitness.splits.items["search"])
        place = f"candidate {candidate.number}: expected a finite score of each of its {len(items)} items"
        known = set(items)
        for item in [*items, *scores]:
            if item not in scores:
                raise StudyError(f"{place}, found none of {item!r}")
            if item not in known:
                raise StudyError(f"{place}, found one of {item!r}, which is not among them")
            if not isinstance(scores[item], numbers.Real) or not math.isfinite(scores[item]):
                raise StudyError(f"{place}, found {scores[item]!r} of {item!r}")
        return ItemScores(items, np.array([scores[item] for item in items], dtype=np.float64))

    @property
    def _campaign(self) -> Any:
        if not self._open:
            raise StudyError("study: expected an open one, found it closed; load its run, or open it again")
        return self._session.campaign
