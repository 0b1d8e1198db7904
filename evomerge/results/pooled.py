"""Estimates of candidates that answered items of their own: what each reaches on all items, by all candidates' answers.

Means of different items compare items as well as candidates, and the best of them is the luckiest in its items. The
pooled response model (`fitness.estimation.pooled`) knows the items from everybody's answers, and a candidate from its
own and from those of others with similar genes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np

from evomerge.archive import Archive, Record
from evomerge.typing import Floats
from fitness.costs import is_exact
from fitness.errors import FitnessError
from fitness.estimation.objectives import Objective, TaskLayout
from fitness.scores import Estimate, ItemScores

NOTE = "objectives"  # name -> its tasks, where objectives are plain means of them
_MOST = 1000  # candidates; a fit takes a time that grows with the third power of their number


def note_objectives(archive: Archive, objectives: Sequence[Objective]) -> None:
    """Record which tasks the objectives are the means of, for those who read the archive."""
    archive.note(NOTE, json.dumps({objective.name: objective.tasks for objective in objectives}))


def noted_objectives(archive: Archive) -> dict[str, tuple[str, ...]]:
    """Return name -> tasks as `note_objectives` recorded them; nothing where it did not."""
    return {o.name: o.tasks for o in archive.parsed(NOTE, _noted, damaged="skip") or ()}


def answered_own_items(archive: Archive) -> bool:
    """Return whether candidates answered different items: two of them some that the other did not."""
    if archive.has("retold"):  # an older evomerge changed everybody's items
        return False
    by_identity = {id(ids): ids for _, ids in archive.answered("search")}  # an archive has each set once
    sets = sorted(set(by_identity.values()), key=len)
    return any(not set(one) <= set(larger) for one, larger in pairwise(sets))


def pooled_estimates(archive: Archive, records: Sequence[Record]) -> dict[int, Estimate]:
    """Return the pooled estimates of candidates that answered some of the search items, where these were their own.

    None where all answered the same ones, or the archive does not say what its objectives are means of. Who answered
    everything is estimated as it was told, and who was set aside without an answer, and what a model costs, too.

    Args:
        archive: whose answers are pooled, with the candidates' genomes where these are numbers.
        records: of its outcomes on search items.
    """
    told = {record.number: record.estimate for record in records if record.estimate is not None}
    if not 1 < len(told) <= _MOST or not answered_own_items(archive):
        return {}
    objectives = archive.parsed(NOTE, _noted, damaged="skip")
    exact = {objective.name for objective in next(iter(told.values())).objectives if is_exact(objective.cost)}
    names = [objective.name for objective in next(iter(told.values())).objectives]
    if objectives is None or [objective.name for objective in objectives] != names:
        return {}
    pooled = tuple(objective for objective in objectives if objective.name not in exact)
    scores = {number: archive.scores(number, "search") for number in told}
    answered = {number: one for number, one in scores.items() if one is not None and one.item_ids}
    genomes = {candidate.number: candidate.genome for candidate in archive.candidates()}
    answers = Answers(
        points_of([genomes.get(number) for number in answered]),
        tuple(answered.values()),
        pooled,
    )
    try:
        found = fitted(answers)
    except FitnessError:  # objectives without items: not what the note says
        return {}
    rows = zip(answered, *found, strict=True)
    return {number: _pooled(told[number], *row) for number, *row in rows if told[number].kind != "full"}


def _noted(text: str) -> tuple[Objective, ...]:
    return tuple(Objective(str(name), tuple(map(str, tasks))) for name, tasks in dict(json.loads(text)).items())


def points_of(genomes: Sequence[object]) -> Floats:
    """Return (n, dim) genomes; NaN where one is none of numbers, as landmarks and the individuals of niches have."""
    cubes = [g for g in genomes if isinstance(g, np.ndarray)]
    points = np.full((len(genomes), len(cubes[0]) if cubes else 1), np.nan)
    for row, genome in zip(points, genomes, strict=True):
        if isinstance(genome, np.ndarray):
            row[:] = genome
    return points


@dataclass(frozen=True, eq=False)
class Answers:
    """What a fit is made of; equal where everything in it is."""

    points: Floats
    scores: tuple[ItemScores, ...]
    objectives: tuple[Objective, ...]

    @property
    def items(self) -> tuple[str, ...]:
        """Every item that anybody answered."""
        return tuple(dict.fromkeys(item for one in self.scores for item in one.item_ids))

    @property
    def task_of(self) -> Mapping[str, str]:
        """Item -> its task."""
        return {item: item.partition("/")[0] for item in self.items}

    def __hash__(self) -> int:
        return hash(self._digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Answers) and self._digest == other._digest

    @property
    def _digest(self) -> bytes:
        found = hashlib.sha256(self.points.tobytes() + repr(self.objectives).encode())
        for one in self.scores:
            found.update("\n".join(one.item_ids).encode() + one.values.tobytes())
        return found.digest()


@lru_cache(maxsize=4)  # fronts, picks and pages of one archive ask for the same
def fitted(answers: Answers) -> tuple[Floats, Floats]:
    """Return (n, n_objectives) means on all items that anybody answered, and standard errors.

    An error is that against the mean on these items, and how far that may be from the mean on all such items there
    could be.
    """
    from fitness.estimation.pooled import PooledResponses

    items, task_of = answers.items, answers.task_of
    model = PooledResponses.fit(answers.points, answers.scores, answers.objectives, items=items, task_of=task_of)
    found = model.candidates()
    return found.means, np.sqrt(found.stderrs**2 + _of_items(answers, items, task_of))


def _of_items(answers: Answers, items: Sequence[str], task_of: Mapping[str, str]) -> Floats:
    """Return (n_objectives,) variances of the mean on so many items as a measure of all such items there could be."""
    n_all = TaskLayout.of(items, answers.objectives, task_of)
    layouts = [TaskLayout.of(one.item_ids, answers.objectives, task_of) for one in answers.scores]
    moments = [layout.moments(one.values) for layout, one in zip(layouts, answers.scores, strict=True)]
    return np.asarray(n_all.weights**2 @ (np.mean([variances for _, variances in moments], axis=0) / n_all.n_items))


def _pooled(told: Estimate, means: Floats, stderrs: Floats) -> Estimate:
    uncertain = [objective.name for objective in told.objectives if not is_exact(objective.cost)]
    found = dict(zip(uncertain, zip(means.tolist(), stderrs.tolist(), strict=True), strict=True))
    objectives = (
        replace(o, value=found[o.name][0], stderr=found[o.name][1], kind="pooled") if o.name in found else o
        for o in told.objectives
    )
    return replace(told, objectives=tuple(objectives))
