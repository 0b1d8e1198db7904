"""Landmarks besides the space's own: chosen once, by what they cost, and recorded in the archive.

A resumed search has the landmarks that it began with. One that began before there were any has none, and its optimiser
begins where it began.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from evomerge.archive import Archive
from evomerge.config import CampaignConfig
from evomerge.config.further_landmarks import GRADIENT, INFORMED, MIDDLE, name_of, weights_of
from evomerge.optimisers.gradient.options import descent_of
from evomerge.optimisers.problem import RULES
from search_spaces.operators.registry import OPERATORS, find_operator
from search_spaces.recipes.recipe import Recipe
from search_spaces.spaces.joint import JointSpace
from search_spaces.spaces.known_merges import genome_of, merged_by
from search_spaces.spaces.space import Landmark, SearchSpace
from search_spaces.spaces.weight_space import WeightSpace

NOTE = "landmarks"
SHARE = 1 / 3  # of the evaluations, for landmarks of all kinds

# operator and recipe -> why its landmark costs too much before it can be scored; empty where it does not
TooDear = Callable[[str, Recipe], str]


@dataclass(frozen=True)
class FurtherLandmarks:
    """What was chosen as a search began.

    Attributes:
        chosen: operator -> the weights of its landmarks, in the order in which they are scored.
        merged: the parents that they merge.
        told: whether the optimiser may begin at landmarks.
        notes: a line for each that was left out for what it costs.
        descent: whether one is where a descent on the space's own groups ends.
        middle: whether one is the space's own start.
        rules: of proposing, by which the search goes on (`optimisers.problem.RULES`); 1: it began before they counted.
    """

    chosen: Mapping[str, Sequence[float]]
    merged: Sequence[str] = ()
    told: bool = False
    notes: Sequence[str] = ()
    descent: bool = False
    middle: bool = False
    rules: int = 1

    @staticmethod
    def of(archive: Archive) -> FurtherLandmarks | None:
        """Return what an archive records; None where nothing was chosen yet."""
        noted = archive.parsed(NOTE, lambda text: FurtherLandmarks(**json.loads(text)))
        if noted is not None:
            return noted
        return FurtherLandmarks({}) if archive.n_candidates else None

    @property
    def informed(self) -> tuple[str, ...]:
        """The operators among them that read statistics of the parents."""
        return tuple(name for name in self.chosen if find_operator(name).statistics)

    def without_informed(self, archive: Archive, why: str) -> FurtherLandmarks:
        """Return what is left where the parents' statistics cannot be collected, and record that."""
        chosen = {name: weights for name, weights in self.chosen.items() if name not in self.informed}
        left_out = ", ".join(name_of(operator, 1.0) for operator in self.informed)
        found = replace(self, chosen=chosen, notes=(*self.notes, f"landmark {left_out}: left out, {why}"))
        archive.note(NOTE, json.dumps(asdict(found)))
        return found

    def without_descent(self, archive: Archive, why: str) -> FurtherLandmarks:
        """Return what is left where a descent comes to nothing, and record that."""
        note = f"landmark {name_of(GRADIENT, 1.0)}: left out, {why}"
        found = replace(self, descent=False, notes=(*self.notes, note))
        archive.note(NOTE, json.dumps(asdict(found)))
        return found

    def landmarks(self, space: SearchSpace[Any], statistics: Mapping[str, str]) -> list[Landmark]:
        """Return the landmarks, written as the space writes its own; `statistics` are the parents'."""
        mean = _uniform_mean(space)
        if mean is None:
            return []
        found = [
            landmark
            for operator, weights in self.chosen.items()
            for landmark in _landmarks_of(operator, mean, self.merged, statistics)
            if landmark.name in {name_of(operator, weight) for weight in weights}
        ]
        return [*found, *_middle(space)] if self.middle else found


def choose_landmarks(
    config: CampaignConfig,
    space: SearchSpace[Any],
    archive: Archive,
    too_dear: TooDear,
    say: Callable[[str], object],
) -> FurtherLandmarks:
    """Choose landmarks for a new search and record them, or return those that the archive records.

    With `auto` all landmarks together take at most a third of the evaluations, those of the space included, and what is
    prepared for one takes less than a tenth of the search (`preparation`); both as the search begins.
    """
    known = FurtherLandmarks.of(archive)
    if known is not None:
        return known
    mean, chosen, notes = _uniform_mean(space), dict[str, Sequence[float]](), list[str]()
    merged = [] if mean is None else [given.parent for given in mean.rules[0].inputs]
    auto = config.landmarks == "auto"
    room = (
        max(0, int(config.budget.evaluations * SHARE) - len(space.landmarks())) if auto else config.budget.evaluations
    )
    for operator in () if mean is None else _wanted(config):
        weights = weights_of(operator)[:room]
        if weights and auto and mean is not None:
            first = Landmark(name_of(operator, weights[0]), merged_by(mean, operator, merged))
            if why := too_dear(operator, first.recipe):
                notes.append(f"landmark {first.name}: left out, {why}")
                say(notes[-1])
                continue
        chosen |= {operator: weights} if weights else {}
        room -= len(weights)
    descent = mean is not None and room > 0 and _may_descend(config, space)
    if descent and auto and mean is not None and (why := too_dear(GRADIENT, mean)):
        descent = False
        notes.append(f"landmark {name_of(GRADIENT, 1.0)}: left out, {why}")
        say(notes[-1])
    found = FurtherLandmarks(chosen, merged, config.landmarks != "none", notes, descent, rules=RULES)
    if auto and room - descent > 0 and config.optimiser.begins_at_landmarks and _is_new(found, space):
        found = replace(found, middle=True)
    archive.note(NOTE, json.dumps(asdict(found)))
    return found


def _middle(space: SearchSpace[Any]) -> list[Landmark]:
    """Return the landmark of a space's own start: most optimisers would begin there if no landmark were better."""
    return [Landmark(MIDDLE, space.decode(space.start()))] if isinstance(space, WeightSpace | JointSpace) else []


def _is_new(found: FurtherLandmarks, space: SearchSpace[Any]) -> bool:
    """Return whether a space's own start is none of the landmarks."""
    if not isinstance(space, WeightSpace | JointSpace):
        return False
    others = [genome_of(space, one.recipe) for one in (*space.landmarks(), *found.landmarks(space, {}))]
    return not any(genome is not None and np.allclose(genome, space.start(), atol=1e-3) for genome in others)


def _may_descend(config: CampaignConfig, space: SearchSpace[Any]) -> bool:
    """Return whether a descent is a landmark: asked for, or with `auto` where it can be and the search is none."""
    if config.landmarks != "auto":
        return GRADIENT in config.landmarks
    on_task_vectors = isinstance(space, WeightSpace) and any(find_operator(name).needs_base for name in space.operators)
    return config.base is not None and on_task_vectors and descent_of(config.optimiser) is None


def _uniform_mean(space: SearchSpace[Any]) -> Recipe | None:
    return next((landmark.recipe for landmark in space.landmarks() if landmark.name == "uniform mean"), None)


def _wanted(config: CampaignConfig) -> Sequence[str]:
    """Return the operators that may be landmarks, the most wanted first."""
    if isinstance(config.landmarks, str):
        named = INFORMED if config.landmarks == "auto" else ()
        known = [name for name in named if name in OPERATORS]
    else:
        known = [name for name in config.landmarks if name != GRADIENT]
    return [name for name in known if config.base is not None or not find_operator(name).needs_base]


def _landmarks_of(operator: str, mean: Recipe, merged: Sequence[str], statistics: Mapping[str, str]) -> list[Landmark]:
    return [
        Landmark(name_of(operator, weight), merged_by(mean, operator, merged, weight=weight, statistics=statistics))
        for weight in sorted(weights_of(operator))
    ]
