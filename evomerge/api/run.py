"""A run: one search in its directory, whether it ended just now or years ago."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from evomerge.api.arguments import callbacks_of, directories, path_of, whole
from evomerge.api.front import Front
from evomerge.api.recorded import recorded_campaign
from evomerge.api.tables import CandidateRow, Candidates, Items, reading
from evomerge.api.texts import in_html
from evomerge.api.verifying import VerificationReport, noted_verification, verify
from evomerge.archive import Archive, Damage
from evomerge.campaign import RunDirectory
from evomerge.campaign.events import Callback, tell_all
from evomerge.campaign.progress import ENDING
from evomerge.campaign.run_directory import recorded_config
from evomerge.config import CampaignConfig, overridden
from evomerge.config.overrides import Overrides
from evomerge.results.recorded import campaign_name
from fitness.scores import Split

if TYPE_CHECKING:
    from evomerge.api.answers import Answers
    from evomerge.campaign import Ending
    from evomerge.publishing import Upload
    from evomerge.results.report.plots import Plots


class Run:
    """What came out of a search, and what can be done with it.

    Everything is read from the run directory when it is asked for, so a run can be looked at while it goes on.

    >>> import evomerge as em
    >>> run = em.load("runs/mine")
    >>> run.n_candidates == len(run.candidates)
    True
    >>> run.front.knee.estimate.mean <= 1.0
    True
    """

    def __init__(self, directory: str | Path) -> None:
        """Take the directory of a run; see `evomerge.load`."""
        self._directory = RunDirectory(path_of("directory", directory))

    def __repr__(self) -> str:
        return f"Run({str(self.directory)!r})"

    @property
    def directory(self) -> Path:
        """Where everything of it is kept."""
        return self._directory.root

    @contextlib.contextmanager
    def archive(self) -> Iterator[Archive]:
        """Open its event store for reading, for everything that this class has no name for."""
        with reading(self._directory.archive) as archive:
            yield archive

    @property
    def config(self) -> CampaignConfig:
        """The campaign, every default written out."""
        with self.archive() as archive:
            return recorded_config(archive)

    @property
    def name(self) -> str:
        """What the campaign is called, also where the rest of its record cannot be read."""
        with self.archive() as archive:
            return campaign_name(archive)

    @property
    def damage(self) -> tuple[Damage, ...]:
        """The rows of the archive that are not what was committed; every row is looked at."""
        with self.archive() as archive:
            archive.find_damage()
            return archive.damage

    @property
    def n_candidates(self) -> int:
        """How many candidates were asked, landmarks included."""
        with self.archive() as archive:
            return archive.n_candidates

    @property
    def ending(self) -> Ending | None:
        """Why its last session ended: evaluations, hours, interrupted, stopped, exhausted or converged.

        None: it did not.
        """
        with self.archive() as archive:
            return cast("Ending | None", archive.noted(ENDING) or None)

    @property
    def front(self) -> Front:
        """The Pareto front on search items."""
        return Front(self._directory.archive)

    @property
    def candidates(self) -> Candidates:
        """Every candidate: its recipe, genes, objectives and state."""
        return Candidates(self._directory.archive)

    @property
    def items(self) -> Items:
        """The scores of every candidate on every item."""
        return Items(self._directory.archive)

    def answers(self, candidate: str | int, split: Split = "search") -> Answers:
        """Return what a candidate answered, beside what was asked and what is right; see the campaign's `answers`.

        >>> import evomerge as em
        >>> answer = em.load("runs/mine").answers("knee")[0]
        >>> answer.score <= 1.0, bool(answer.prompt)
        (True, True)

        Args:
            candidate: its number, a pick (see `pick`), or a landmark's name, such as a parent's.
            split: `search`; or, of those that were verified, `validation`, `test` or `final`.

        Raises:
            AnswersError: none are kept.
            PickError: nothing answers to the name.
        """
        from evomerge.api.answers import Answers

        return Answers(self._directory.archive, candidate, split)

    @property
    def plot(self) -> Plots:
        """Its pictures, as plotly figures: `run.plot.front()`, `.history()`, `.genes()`."""
        from evomerge.results.report.plots import Plots

        return Plots(self._directory.archive)

    @property
    def verification(self) -> VerificationReport | None:
        """What `verify` found last; None before."""
        with self.archive() as archive:
            return noted_verification(archive)

    def pick(self, choice: str | int) -> CandidateRow:
        """Return the candidate that a choice names, after `verify` by its items, before by search items.

        >>> import evomerge as em
        >>> run = em.load("runs/mine")
        >>> run.pick("winner").number == run.verification.winner
        True

        Args:
            choice: `winner`, `knee`, `best`, `best:OBJECTIVE`, or a candidate's number; `front.picks` has them all.

        Raises:
            PickError: nothing answers to the choice, or the verification does not offer it.
            ArchiveError: there is no candidate of this number.
        """
        from evomerge.results.picks import pick

        with self.archive() as archive:
            number = pick(archive, str(choice)).number
        return self.candidates[number]

    def verify(
        self,
        top: int = 5,
        *,
        final: bool = False,
        parents: Mapping[str, str | Path] = MappingProxyType({}),
        callbacks: Callback | Sequence[Callback] = (),
        trust_tasks: bool = False,
    ) -> VerificationReport:
        """Score the best candidates, every parent and the baselines on held-out items.

        Validation items choose one winner per pick (best, knee, best:OBJECTIVE); paired differences on test items tell
        whether each is better than every parent. What is scored already is not scored again.

        >>> import evomerge as em
        >>> report = em.load("runs/mine").verify(top=2)
        >>> report.rows[0].kind
        'parent'

        Args:
            top: how many candidates validation items choose from, at least 1.
            final: whether to open the final items (`splits: {final: ...}`) as well: once in the life of a run, for the
                winner of its last verification, or of one that is made now. Later calls show what was found.
            parents: name -> directory, of parents that moved since; their files must be the same.
            callbacks: told each step in words.
            trust_tasks: whether code that the run names may be run where somebody else began it; asked once.

        Raises:
            UntrustedCodeError: somebody else began it, and it names code.
            VerificationError: nothing to verify, or a parent or every contender fails on held-out items, or there are
                no final ones.
            RunDirectoryError: a parent or a task is not what the search began with, or a parent is not there.
        """
        told, moved = callbacks_of(callbacks), directories("parents", parents)
        n_contenders = whole("top", top)
        return verify(
            self._directory, top=n_contenders, final=final, callbacks=told, moved=moved, trust_tasks=trust_tasks
        )

    def export(
        self,
        pick: str | int,
        out: str | Path,
        *,
        parents: Mapping[str, str | Path] = MappingProxyType({}),
        callbacks: Callback | Sequence[Callback] = (),
    ) -> Path:
        """Write a candidate as an ordinary Hugging Face checkpoint with a model card.

        >>> import evomerge as em
        >>> path = em.load("runs/mine").export("knee", "exported")
        >>> (path / "config.json").is_file()
        True

        Args:
            pick: `winner`, `knee`, `best`, `best:OBJECTIVE`, or a candidate's number; see `pick`.
            out: the directory; must not exist.
            parents: name -> directory, of parents that moved since; their files must be the same.
            callbacks: told in words what one should know.

        Returns:
            `out`, absolute.

        Raises:
            PickError: nothing answers to the pick.
            ArchiveError: there is no candidate of this number.
            SpaceError: the parents cannot be read, or `out` exists.
            RunDirectoryError: a parent is not what the search began with, or is not there.
        """
        from evomerge.api.merging import export_candidate

        told, moved = callbacks_of(callbacks), directories("parents", parents)
        return export_candidate(self._directory.archive, str(pick), Path(out), moved=moved, callbacks=told)

    def push(
        self,
        repo: str,
        pick: str | int = "winner",
        *,
        directory: str | Path | None = None,
        private: bool = False,
        yes: bool = False,
        parents: Mapping[str, str | Path] = MappingProxyType({}),
        callbacks: Callback | Sequence[Callback] = (),
    ) -> Upload:
        """Upload a candidate to the hub with its card; without `yes` only say what would be sent.

        Args:
            repo: OWNER/NAME; it is made where there is none.
            pick: see `pick`; exported into `exports/` of the run directory, unless it lies there.
            directory: of an earlier export, in place of the pick.
            private: whether a repository that is made is.
            yes: whether to upload.
            parents: name -> directory, of parents that moved since; their files must be the same.
            callbacks: told in words where the export is and, once uploaded, the commit's address.

        Returns:
            What was sent, or would be.

        Raises:
            PushError: nobody is logged in, the hub refuses, or there is no network.
            EvomergeError: see `export`.
        """
        from evomerge.publishing import push, upload_of

        say = partial(tell_all, callbacks_of(callbacks))
        exported = None if directory is None else Path(directory)
        if exported is None:
            number = self.pick(pick).number
            exported = self._directory.exports / f"candidate-{number}"
            if not exported.exists():
                self.export(number, exported, parents=parents, callbacks=callbacks)
            say(f"candidate {number} is in {exported}")
        upload = upload_of(exported, repo, private=private)
        if yes:
            say(push(upload), "uploaded")
        return upload

    def report(self, path: str | Path | None = None, *, figures: bool = True) -> Path:
        """Write its report, one self-contained HTML page; also while the search runs.

        Args:
            path: of the page; None: report.html in the run directory.
            figures: whether to write the figures as PNG as well, into a directory `figures` beside the page.

        Returns:
            Where the page is.

        Raises:
            ArchiveError: the archive cannot be read.
            RunDirectoryError: in the run directory a link stands for the page or its figures.
        """
        from evomerge.results.pages.frozen import report

        if path is None:
            self._directory.refuse_links()
        page = self._directory.report if path is None else Path(path)
        with self.archive() as archive:
            return report(archive, page, png_dir=page.parent / "figures" if figures else None)

    def track(self, to: str | Sequence[str], callbacks: Callback | Sequence[Callback] = ()) -> dict[str, str]:
        """Send what trackers do not have yet of it; `track` of a campaign does so while it runs.

        >>> import evomerge as em
        >>> em.load("runs/mine").track([])
        {}

        Args:
            to: wandb, mlflow, tensorboard or trackio; one or several.
            callbacks: told in words what worked where another one failed.

        Returns:
            Tracker -> where the run is to be seen.

        Raises:
            ConfigError: there is no such tracker.
            TrackingError: a library is missing, or took nothing in.
        """
        from evomerge.api.arguments import refused, several
        from evomerge.tracking import track
        from evomerge.tracking.registry import TRACKERS

        names = several("to", to, "trackers by name, as ['tensorboard']")
        for name in names:
            if name not in TRACKERS:
                raise refused("to", f"one of {', '.join(TRACKERS)}", name)
        return track(self.directory, names, self._directory.archive, partial(tell_all, callbacks_of(callbacks)))

    def copy_archive(self, out: str | Path) -> Path:
        """Copy the archive into a directory, whole, also while the search runs; see `evomerge.load` to look at it.

        >>> import evomerge as em
        >>> path = em.load("runs/mine").copy_archive("backup")
        >>> em.load("backup").n_candidates == em.load("runs/mine").n_candidates
        True

        Args:
            out: the directory; it must have no archive yet.

        Returns:
            Where the copy is.

        Raises:
            ArchiveError: there is one already, or it cannot be written.
        """
        copy = RunDirectory(path_of("out", out)).archive
        with self.archive() as archive:
            archive.copy(copy)
        return copy

    def resume(  # noqa: PLR0913 -- each is one thing to say
        self,
        evaluations: int | None = None,
        *,
        workers: int | None = None,
        set: Overrides = (),
        space: Any = None,
        optimiser: Any = None,
        optimizer: Any = None,
        parents: Mapping[str, str | Path] = MappingProxyType({}),
        callbacks: Callback | Sequence[Callback] = (),
        trust_tasks: bool = False,
    ) -> Run:
        """Go on with the search.

        Args:
            evaluations: candidates in all, those of before included; None: as before.
            workers: how many; None: as before.
            set: other keys that may change, such as {"budget.hours": 2.0}.
            space: the object that it began with, where it began with one.
            optimiser: the same, fresh: it is told again what it was told.
            optimizer: another spelling of it.
            parents: name -> directory, of parents that moved since; their files must be the same.
            callbacks: are called with every event.
            trust_tasks: whether code that the run names may be run where somebody else began it.

        Returns:
            The same run.

        Raises:
            ConfigError: an object is missing or not the one that it began with, or a key is wrong.
            UntrustedCodeError: somebody else began it, and it names code.
            RunDirectoryError: a change would change what is scored already, a parent or a task is not what the search
                began with, or another process holds the run.
            SearchInterruptedError: Ctrl-C; everything is saved.
        """
        from evomerge.api.sections import Given, one_spelling
        from evomerge.api.session import run_stages

        config = recorded_campaign(self.directory, set, trust_tasks=trust_tasks)
        config = overridden(config, evaluations=evaluations, workers=workers)
        own, moved = Given(space, one_spelling(optimiser, optimizer)), directories("parents", parents)
        run_stages(config, self._directory, own, callbacks_of(callbacks), moved)
        return self

    def _repr_html_(self) -> str:
        name, n = self.name, self.n_candidates
        return (
            f"<p><b>{in_html(name)}</b>: {n} candidates in {in_html(str(self.directory))}</p>"
            + self.front._repr_html_()
        )


def load(directory: str | Path) -> Run:
    """Return the run in a directory; nothing of it is changed.

    >>> import evomerge as em
    >>> em.load("runs/mine").directory.name
    'mine'

    Raises:
        ArchiveError: there is none, or a newer evomerge wrote it.
    """
    run = Run(directory)
    with run.archive():
        return run
