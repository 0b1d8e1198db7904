"""The shortlist of a verification, and the picks among what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from evomerge.archive import Archive
from evomerge.archive.campaign_text import campaign_settings
from evomerge.campaign.constraints import Constraints
from evomerge.campaign.start_points import is_start_point
from evomerge.candidate import Candidate
from evomerge.pareto import front, knee
from evomerge.results.selected import expected, judged
from evomerge.results.verification.result import Dropped, VerificationError
from fitness.costs import in_unit
from fitness.scores import Estimate


def contenders(archive: Archive, top: int) -> list[Candidate]:
    """Return up to `top` candidates to verify: what picks choose on search items, the rest of the front, all others.

    They are judged by what is expected of them, which is less than was observed of the luckiest (see `selected`).
    Proposals contend, and landmarks that are more than what a search is compared with (`is_compared_with`). The front
    and the others stand in the order of their means. Who misses a constraint on search items is no contender, unless
    all do: then by how much they miss it.
    """
    merges = merges_of(archive)
    out = {candidate.number for candidate in archive.landmarks() if is_compared_with(candidate, merges)}
    told = {record.number: record.estimate for record in judged(archive) if record.estimate is not None}
    found = {number: estimate for number, estimate in told.items() if number not in out}
    if not found:
        raise VerificationError("expected scored candidates, found none; run the search first")
    constraints = Constraints.of(archive)
    missed = {number: constraints.violation(estimate) for number, estimate in found.items()}
    found = {number: estimate for number, estimate in expected(archive).items() if number in found}
    numbers = [number for number in found if missed[number] == 0.0] or list(found)
    least = min(missed[number] for number in numbers)
    near = [number for number in numbers if missed[number] == least]
    picked = picks({number: found[number] for number in near}).chosen
    efficient = {near[i] for i in front([_values(found[number]) for number in near])}
    ranked = sorted(numbers, key=lambda n: (missed[n], n not in efficient, -found[n].mean, n))
    chosen: dict[str, Candidate] = {}
    for number in [*picked.values(), *ranked]:
        for candidate in archive.candidates_of([number]).values():
            chosen.setdefault(candidate.recipe.digest, candidate)
        if len(chosen) == top:
            break
    return list(chosen.values())


def merges_of(archive: Archive) -> frozenset[str]:
    """Return the names of parents that are merges of others, carried out before the search."""
    parents = campaign_settings(archive.campaign).get("parents") or ()
    return frozenset(p["name"] for p in parents if isinstance(p, Mapping) and p.get("merge_of") and "name" in p)


def is_parent(candidate: Candidate, merges: frozenset[str]) -> bool:
    """Return whether a candidate is a checkpoint alone that was there before any merge."""
    return candidate.label in candidate.recipe.parents and candidate.label not in merges


def is_compared_with(candidate: Candidate, merges: frozenset[str]) -> bool:
    """Return whether a landmark is a parent, a plain merge, or a start that the search was given."""
    plain = candidate.label in ("uniform mean", "default TIES")
    return plain or is_parent(candidate, merges) or is_start_point(candidate.label)


@dataclass(frozen=True)
class Picked:
    """What some items choose among candidates."""

    chosen: dict[str, int]  # pick -> candidate's number
    dropped: tuple[Dropped, ...] = ()  # picks that a parent is better than


def picks(known: Mapping[int, Estimate], parents: Mapping[str, Estimate] = MappingProxyType({})) -> Picked:
    """Return the `best` mean and, with several objectives, the front's `knee` and `best:OBJECTIVE`.

    Among equals the highest mean is taken, then the candidate that comes first. There is one estimate at least.
    An objective on which one of the parents is better than all of them has no pick; guards (weight 0) have none.
    """
    numbers = list(known)
    means = np.array([known[number].mean for number in numbers])
    values = np.array([_values(known[number]) for number in numbers])
    chosen, dropped = {"best": numbers[int(means.argmax())]}, []
    if values.shape[1] > 1:
        efficient = sorted(front(values), key=lambda i: -means[i])  # of ties `knee` takes the first
        chosen["knee"] = numbers[efficient[knee(values[efficient])]]
        for k, objective in enumerate(known[numbers[0]].counting):
            best = int(np.lexsort((-means, -values[:, k]))[0])
            above = {
                name: _values(parent)[k] for name, parent in parents.items() if _values(parent)[k] > values[best, k]
            }
            if not above:
                chosen[f"best:{objective.name}"] = numbers[best]
                continue
            name = max(above, key=lambda name: above[name])
            theirs, own = (in_unit(value, objective.cost) for value in (above[name], float(values[best, k])))
            why = f"the parent {name} has {theirs} on {objective.name}, the best merge {own}"
            dropped.append(Dropped(f"best:{objective.name}", numbers[best], why))
    return Picked(chosen, tuple(dropped))


def _values(estimate: Estimate) -> list[float]:
    return [objective.value for objective in estimate.counting]
