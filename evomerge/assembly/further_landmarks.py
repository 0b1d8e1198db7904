"""Landmarks besides the space's own: chosen once, by what they cost, and recorded in the archive.

A resumed search has the landmarks that it began with. One that began before there were any has none, and its optimiser
begins where it began.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from evomerge.archive import Archive
from evomerge.config import CampaignConfig
from evomerge.config.further_landmarks import INFORMED, SCALES, names_of
from search_spaces.operators.registry import OPERATORS, find_operator
from search_spaces.recipes.recipe import Recipe
from search_spaces.spaces.known_merges import merged_by
from search_spaces.spaces.space import Landmark, SearchSpace

NOTE = "landmarks"
SHARE = 1 / 3  # of the evaluations, for landmarks of all kinds
PREPARATION = 0.1  # of the search, for what a landmark takes beside its evaluation

# operator and recipe -> what it takes beside being scored, as a share of the whole search
Preparation = Callable[[str, Recipe], float]


@dataclass(frozen=True)
class FurtherLandmarks:
    """What was chosen.

    Attributes:
        landmarks: in the order in which they are scored.
        notes: a line for each that was left out for what it costs, for people.
        told: whether the optimiser may begin at landmarks.
    """

    landmarks: tuple[Landmark, ...] = ()
    notes: tuple[str, ...] = ()
    told: bool = False


def further_landmarks(
    config: CampaignConfig, space: SearchSpace[Any], archive: Archive, preparation: Preparation
) -> FurtherLandmarks:
    """Choose landmarks for a new search, or return those that the archive records.

    With `auto` all landmarks together take at most a third of the evaluations, those of the space included, and what is
    prepared for one takes less than a tenth of the search; both as the search begins.
    """
    noted = archive.noted(NOTE)
    if noted is None and archive.n_candidates:
        return FurtherLandmarks()
    if noted is not None:
        found = json.loads(noted)
        return FurtherLandmarks(told=found["told"])
    own = space.landmarks()
    mean = next((landmark.recipe for landmark in own if landmark.name == "uniform mean"), None)
    chosen: list[Landmark] = []
    notes: list[str] = []
    auto = config.landmarks == "auto"
    if mean is not None:
        room = max(0, int(config.budget.evaluations * SHARE) - len(own)) if auto else config.budget.evaluations
        for operator in _wanted(config):
            ready = _landmarks_of(operator, mean, _merged(config, mean))
            share = preparation(operator, ready[0].recipe) if auto and room > len(chosen) else 0.0
            if share >= PREPARATION:
                notes.append(f"landmark {ready[0].name}: left out, preparing it takes {share:.0%} of the search")
            else:
                chosen += sorted(ready[: room - len(chosen)], key=lambda landmark: landmark.name)
    told = config.landmarks != "none"
    archive.note(NOTE, json.dumps({"told": told, "further": [landmark.name for landmark in chosen], "notes": notes}))
    return FurtherLandmarks(tuple(chosen), tuple(notes), told)


def _wanted(config: CampaignConfig) -> Sequence[str]:
    """Return the operators that may be landmarks, the most wanted first."""
    if isinstance(config.landmarks, str):
        named = INFORMED if config.landmarks == "auto" else ()
        known = [name for name in named if name in OPERATORS]
    else:
        known = list(config.landmarks)
    return [name for name in known if config.base is not None or not find_operator(name).needs_base]


def _merged(config: CampaignConfig, mean: Recipe) -> list[str]:
    """Return the parents that a landmark merges: those of the uniform mean."""
    return [given.parent for rule in mean.rules if rule.operator == "linear" for given in rule.inputs]


def _landmarks_of(operator: str, mean: Recipe, parents: Sequence[str]) -> list[Landmark]:
    scales = SCALES if operator == "task_arithmetic" else (1.0,)
    return [
        Landmark(name, merged_by(mean, operator, parents, weight=scale))
        for name, scale in zip(names_of(operator), scales, strict=True)
    ]
