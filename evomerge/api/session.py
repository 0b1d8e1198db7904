"""A search, opened: its archive, what it is made of, its workers; and searches that follow each other."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

from evomerge import plugins
from evomerge.api.descents import Descents
from evomerge.api.doctor import versions
from evomerge.api.inputs import check_inputs, note_inputs, reopened
from evomerge.api.joining import joined
from evomerge.api.merging import export_candidate
from evomerge.api.sections import Given
from evomerge.api.signals import draining, interrupt
from evomerge.archive import Archive
from evomerge.archive.watching import watched
from evomerge.assembly import Parts, asked_in_chat, build_parts, build_pool, settled, with_noted_statistics
from evomerge.assembly.further_landmarks import FurtherLandmarks, choose_landmarks
from evomerge.assembly.importance import important_starts
from evomerge.assembly.preparation import Preparation
from evomerge.assembly.warm_start import warm_start
from evomerge.campaign import (
    Campaign,
    Constraints,
    Ending,
    Limits,
    RunDirectory,
    RunDirectoryError,
    SearchInterruptedError,
)
from evomerge.campaign.events import Callback, tell_all
from evomerge.campaign.gain import never_over, tells_gain
from evomerge.campaign.past import InCube, as_it_stands
from evomerge.campaign.places import Sources, moved_sources
from evomerge.campaign.progress import ENDING
from evomerge.campaign.run_directory import recorded_config, refuse_unknown_keys, split_as_begun
from evomerge.campaign.trust import code_texts, note_origin, recorded_code, sign_staged
from evomerge.config import CampaignConfig, dump_campaign, stage_config
from evomerge.config.campaign_file import OWN_SECTIONS
from evomerge.config.changes import as_diff, past_changing
from evomerge.config.yaml_document import write_yaml
from evomerge.optimisers.without_guards import tells_guards, without_guards
from evomerge.results.front_answers import FrontAnswers
from evomerge.results.genes import note_genes
from evomerge.results.picks import pick
from evomerge.results.pooled import note_objectives
from evomerge.results.report.items_used import note_search_items
from evomerge.results.verification.benchmark_test_sets import note_used
from evomerge.results.verification.searched_items import note_contents
from evomerge.tracking.live import tracking
from evomerge.version import __version__
from evomerge.whole_file import prepared_file
from evomerge.workers import WorkerPool
from evomerge.workers.sharing import sharing_cores
from fitness.errors import FitnessError
from search_spaces.errors import SpaceError
from search_spaces.spaces.known_merges import written_by

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """What is open while a search runs."""

    directory: RunDirectory
    archive: Archive
    parts: Parts
    pool: WorkerPool
    given: Given
    further: FurtherLandmarks
    callbacks: Sequence[Callback]

    def say(self, text: str, subject: str = "") -> None:
        """Tell the callbacks something in words."""
        tell_all(self.callbacks, text, subject)

    @cached_property
    def campaign(self) -> Campaign[Any]:
        """The search itself, at its beginning or where it was left."""
        parts, config, space = self.parts, self.parts.config, self.parts.space
        descents = Descents(parts, self.archive, self.say)
        paths = config.optimiser.warm_start
        ours, important = config.sources, partial(important_starts, parts)
        started = warm_start(paths, space, ours, self.archive, descend=descents.start, important=important)
        further = self.further.landmarks(space, parts.statistics.digests)
        landmarks = (*started.landmarks, *further, *descents.landmarks(self.further))
        for line in started.notes:
            self.say(line)
        own = self.given.optimiser_of(space)
        if own is not None and self.given.space is None and config.space.genomes == "cube":
            own = InCube(own)
        known = len(self.archive.landmarks()) or min(len(space.landmarks()) + len(landmarks), config.budget.evaluations)
        told = known * self.further.told
        rules = self.further.rules
        made = parts.optimiser(started.genomes, self.archive, after_landmarks=told, rules=rules) if own is None else own
        optimiser = without_guards(made, parts.objectives, parts.fitness.task_of) if parts.guards else made
        n_genes = len(space.gene_names())
        genes = f"{n_genes} genes, " if n_genes else ""
        about = f"{len(parts.parents.checkpoints)} models, {genes}{_search_items(parts)}, "
        tell_all(self.callbacks, f"{about}{config.budget.evaluations} candidates", phase=True)
        if config.budget.stop is not None and not tells_gain(config.optimiser, own):
            self.say(never_over(config.optimiser.kind))
        constraints = Constraints([o.bound for o in config.objectives if o.bound is not None])
        campaign = Campaign(
            self.archive,
            space,
            optimiser,
            estimator=parts.estimator,
            pool=self.pool,
            limits=Limits(config.budget.evaluations, config.budget.hours, config.budget.least_gain),
            schedule=parts.schedule(self.archive, constraints),
            landmarks=landmarks,
            constraints=constraints,
            as_proposed=partial(written_by, space) if rules >= 2 else as_it_stands,
            callbacks=(*self.callbacks, *([FrontAnswers(self.archive)] if config.answers == "front" else [])),
        )
        campaign.progress.own_items = config.schedule.own_items
        return campaign

    def run(self) -> Ending:
        """Search until a limit."""
        campaign, archive = self.campaign, self.archive
        name, n_before = self.parts.config.name, archive.n_candidates
        archive.note(ENDING, "")  # until it ends
        _LOG.info("evomerge %s: %s, %d candidates so far", __version__, name, n_before)
        lost = interrupt if threading.current_thread() is threading.main_thread() else None
        try:
            with draining(campaign.drain), watched(archive, lost):
                ending = campaign.run()
                archive.note(ENDING, ending)
        except KeyboardInterrupt:
            archive.check_presence()  # it may have been `interrupt` that stopped it
            raise
        _LOG.info("ended: %s, %d candidates", ending, archive.n_candidates)
        if ending == "interrupted":
            raise SearchInterruptedError(
                f"stopped; everything is saved. To go on: run the same command again ({self.directory.root})"
            )
        return ending


def run_stages(
    config: CampaignConfig,
    directory: RunDirectory,
    given: Given,
    callbacks: Sequence[Callback] = (),
    moved: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Search stage after stage; a campaign without stages is one search.

    `moved` says of parents where their directories lie now.

    The last stage is the run itself, so that everything that reads the run directory speaks of it. The others lie in
    `stages/`, with the whole campaign's file. A stage is over once its winner is exported: what the campaign says of it
    later is not looked at again.
    """
    elsewhere = moved_sources(moved, config.sources)
    config = joined(split_as_begun(config, directory, callbacks), directory, callbacks, elsewhere)
    if not config.stages:
        _search(config, directory, given, callbacks, elsewhere)
        return
    winners: dict[str, str] = {}
    directory.stages.mkdir(parents=True, exist_ok=True)
    said = {key: value for key, value in config.model_dump().items() if key not in OWN_SECTIONS}
    prepared_file(directory.stages / "campaign.yaml")(write_yaml(said))
    sign_staged(directory.stages / "campaign.yaml")
    for index, stage in enumerate(config.stages[:-1]):
        own = RunDirectory(directory.stages / f"{index + 1}-{stage.name}")
        winner = (own.exports / "winner").absolute()
        tell_all(callbacks, stage.name, f"stage {index + 1} of {len(config.stages)}")
        if not winner.exists():
            _search(stage_config(config, index, winners), own, given, callbacks, elsewhere)
            with contextlib.closing(Archive.read(own.archive)) as archive:
                number = pick(archive, stage.pick).number
            tell_all(callbacks, f"candidate {number} is in {export_candidate(own.archive, str(number), winner)}")
        winners[stage.name] = str(winner)
    tell_all(callbacks, config.stages[-1].name, "last stage")
    _search(stage_config(config, len(config.stages) - 1, winners), directory, given, callbacks, elsewhere)


def _search(
    config: CampaignConfig, directory: RunDirectory, given: Given, callbacks: Sequence[Callback], moved: Sources
) -> None:
    with opened(config, directory, given, callbacks, moved) as session:
        session.run()


@contextlib.contextmanager
def opened(
    config: CampaignConfig,
    directory: RunDirectory,
    given: Given,
    callbacks: Sequence[Callback],
    moved: Sources = MappingProxyType({}),
) -> Iterator[Session]:
    """Open a search, new or of an earlier session, with its parents where they lie now; at the end all is closed."""
    given.check(config, str(directory.root))
    callbacks = (*callbacks, *plugins.callbacks())
    with directory.locked(), sharing_cores(config.workers.count, config.workers.cpus):
        config, places = reopened(config, directory, moved)
        config = _settled(config, directory, places)
        with contextlib.closing(_open_or_create(config, directory, callbacks)) as archive:
            prepared_file(directory.campaign)(dump_campaign(config))
            tell_all(callbacks, "reading parents and tasks", config.name, phase=True)
            parts = build_parts(config, given.space_of(config), places, directory.tokens)
            parts = replace(parts, tells_guards=tells_guards(archive, parts.objectives))
            known = check_inputs(archive, parts, directory.root, partial(tell_all, callbacks))
            tell_all(callbacks, "comparing the parents" + ("" if known else ", every weight of them"), phase=True)
            preflight = parts.preflight(read_weights=not known)  # what was finite still is
            preflight.raise_for_errors()
            note_inputs(archive, parts, directory.root)
            for row in preflight.warnings:
                tell_all(callbacks, row.note, f"note {row.property}")
            further = choose_landmarks(config, parts.space, archive, Preparation(parts), partial(tell_all, callbacks))
            further, parts = _informed(further, parts, archive, partial(tell_all, callbacks))
            _note(parts, archive)
            say = partial(tell_all, callbacks)
            with (
                contextlib.closing(build_pool(parts, directory.root, say)) as pool,
                tracking(directory.root, directory.archive, config.track, say) as followed,
            ):
                watchers = callbacks if followed is None else (*callbacks, followed)
                yield Session(directory, archive, parts, pool, given, further, watchers)


def _informed(
    further: FurtherLandmarks, parts: Parts, archive: Archive, say: Callable[[str], object]
) -> tuple[FurtherLandmarks, Parts]:
    """Return landmarks and parts with the parents' statistics; nobody has to have a landmark that nobody asked for."""
    try:
        return further, with_noted_statistics(parts, archive, say=say)
    except (SpaceError, FitnessError) as error:
        unasked = parts.config.landmarks == "auto" and not archive.n_candidates
        if parts.config.space.statistics or not (unasked and further.informed):
            raise
        fewer = further.without_informed(archive, str(error))
        say(fewer.notes[-1])
        return fewer, with_noted_statistics(parts, archive, say=say)


def _settled(config: CampaignConfig, directory: RunDirectory, places: Sources) -> CampaignConfig:
    """Return the config with what it leaves open as the campaign began with it: dtype, chat, optimiser, schedule."""
    if not directory.archive.exists():
        return settled(config, places)
    with contextlib.closing(Archive.open(directory.archive)) as archive:
        recorded = _recorded(archive, config)
    left_out = {"optimiser", "schedule"} - config.model_fields_set
    config = config.model_copy(update={key: getattr(recorded, key) for key in left_out})
    if config.prompts.apply_chat_template is None:
        config = asked_in_chat(config, recorded.prompts.apply_chat_template or False)
    if config.engine.dtype != "auto":
        return config
    engine = config.engine.model_copy(update={"dtype": recorded.engine.dtype})
    return config.model_copy(update={"engine": engine})


def _open_or_create(config: CampaignConfig, directory: RunDirectory, callbacks: Sequence[Callback]) -> Archive:
    text = dump_campaign(config)
    if not directory.archive.exists():
        archive = Archive.create(directory.archive, text)
        note_origin(archive, code_texts(config))
        archive.note("versions", json.dumps(versions()))
        return archive
    archive = Archive.open(directory.archive)
    archive.refuse_damage()
    recorded = _recorded(archive, config)
    refuse_unknown_keys(archive)
    changes = past_changing(recorded, config)
    if changes and archive.n_candidates:
        archive.close()
        raise RunDirectoryError(
            f"{directory.root}: expected the campaign that began here, found one that would change its past:\n"
            f"{as_diff(changes)}\nundo these changes, or start a new search in another run directory (--run-dir)"
        )
    if archive.campaign != text:
        archive.note("campaign", text)
    note_origin(archive, code_texts(config))
    tell_all(callbacks, f"resuming {directory.root}: {archive.n_candidates} candidates so far")
    if not archive.has_digests:
        tell_all(callbacks, "an older evomerge wrote the archive: what is told from here on has digests", "note")
    return archive


def _recorded(archive: Archive, config: CampaignConfig) -> CampaignConfig:
    """Return the config that an archive records, whose code the user's own campaign may name as well."""
    named = {one.text for one in recorded_code(archive)}
    return recorded_config(archive, trust=named <= set(code_texts(config)))


def _note(parts: Parts, archive: Archive) -> None:
    """Record what readers of the archive need to know of the parts, and find what must be unchanged unchanged."""
    note_used(archive, parts.test_sets)
    note_contents(archive, parts.fitness)
    note_search_items(archive, len(parts.fitness.splits.items["search"]))
    if parts.config.answers != "none":
        archive.answers.keep_asked("search", partial(parts.fitness.asked, parts.fitness.splits.items["search"]))
    note_genes(archive, parts.space.gene_names())
    if parts.config.estimator is None and parts.reduced is None:
        note_objectives(archive, parts.objectives)
    digest, noted = "" if parts.reduced is None else parts.reduced.digest, archive.noted("reduced")
    if noted is None:
        archive.note("reduced", digest)
    elif noted != digest:
        file = parts.config.reduced and parts.config.reduced.file
        raise RunDirectoryError(
            f"reduced: expected the file {file} as it was when this search began, found another: put it back, or "
            "start a new search in another run directory (--run-dir)"
        )


def _search_items(parts: Parts) -> str:
    suite, budget = parts.fitness, parts.search_budget.items
    n_all = len(suite.questions(suite.splits.items["search"]))  # what they cost is measured beside them
    chosen = None if budget is None else suite.questions(budget)
    if chosen is None or len(chosen) >= n_all:
        return f"{n_all} search items"
    own = ", its own for each candidate" if parts.config.schedule.own_items else ""
    return f"{len(chosen)} of {n_all} search items{own}"
