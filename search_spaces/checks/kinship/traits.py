"""What parents' distances and cosines mean for a search: a word and a sentence for each parent."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from search_spaces.checks.kinship.measures import Kinship
from search_spaces.checks.tensors import Level, PreflightRow

LOCKED = "locked"  # the key of allow_differences
PROPERTY = "parents"
UNRELATED = 0.5  # relative distance above which, in every class of tensors, a parent may be another model
SHARED = 0.5  # cosine of weights below which it is one; a base plus noise of its own length has .7
ALIKE = 0.98  # cosine of two task vectors from which on one of them adds nothing
EDGE = 1.15  # of white noise: 1; of fine-tuned models of .1 to 135 million parameters: 6 to 21

_TELLING = ("attention", "mlp", "embedding")

Verdict = Literal["related", "far", "unrelated", "copy", "near-duplicate", "locked", "noise", "collapsed"]
_LEVELS: Mapping[str, Level] = {
    "locked": "error",
    "unrelated": "warning",
    "copy": "warning",
    "near-duplicate": "warning",
}


@dataclass(frozen=True)
class ParentTraits:
    """What is known of one parent before anything is scored.

    Attributes:
        name: the parent's.
        distances: class of tensors (attention, mlp, embedding, other) -> |theta - theta_0| / |theta_0|.
        nearest: the parent whose task vector is most alike, and the cosine; None where there is no other.
        verdict: "related" where nothing is to be said. "far", and "noise" (no direction of the task vector stands out
            from a random matrix), are told by plans alone, as is "collapsed", which a plan finds out by asking; the
            others are notes of a search, "locked" ends it.
        advice: one sentence: what it is, and what to do; empty where nothing is to be said.
    """

    name: str
    distances: Mapping[str, float]
    nearest: tuple[str, float] | None
    verdict: Verdict = "related"
    advice: str = ""


def traits_of(kinship: Kinship, base: str) -> tuple[ParentTraits, ...]:
    """Return what is known of every parent but the base."""
    found: list[ParentTraits] = []
    for name in kinship.names:
        case = _Case(kinship, name, base, tuple(t.name for t in found if t.verdict != "copy"))
        judged = (judge(case) for judge in (_copy, _locked, _unrelated, _duplicate, _noise, _far))
        verdict, advice = next((one for one in judged if one is not None), ("related", ""))
        found.append(ParentTraits(name, kinship.distances(name), _nearest(kinship, name), verdict, advice))
    return tuple(found)


def preflight_row(traits: tuple[ParentTraits, ...], base: str, allowed: Collection[str]) -> PreflightRow:
    """Return the row on all parents; a locked one is an error unless `locked` is allowed."""
    values = {base: "the base", **{each.name: each.verdict for each in traits}}
    levels = {_LEVELS.get(each.verdict, "ok") for each in traits}
    told = "; ".join(each.advice for each in traits if each.verdict in _LEVELS)
    if "error" in levels and LOCKED not in allowed:
        refused = "; ".join(each.advice for each in traits if each.verdict == LOCKED)
        return PreflightRow(PROPERTY, values, "error", refused, allowed_by=LOCKED)
    return PreflightRow(PROPERTY, values, "warning" if levels - {"ok"} else "ok", told)


@dataclass(frozen=True)
class _Case:
    kinship: Kinship
    name: str
    base: str
    before: tuple[str, ...]  # parents that were judged already, without copies of the base

    @property
    def least(self) -> float:
        """The distance from the base in the classes that tell relatives: norms of unrelated models are alike, too."""
        distances = self.kinship.distances(self.name)
        return min((distances[kind] for kind in _TELLING if kind in distances), default=0.0)


_Judged = tuple[Verdict, str] | None


def _copy(case: _Case) -> _Judged:
    if case.name not in case.kinship.copies:
        return None
    return "copy", f"{case.name!r} has the weights of {case.base!r}: it has no task vector, leave it out"


def _locked(case: _Case) -> _Judged:
    lock = case.kinship.locks.get(case.name)
    if lock is None or not lock.locked:
        return None
    return "locked", (
        f"{case.name!r} is locked: {' and '.join(lock.locked)} differ from those of {case.base!r} and their products "
        "do not, so it works alone and no merge of it does; its author does not want it merged: leave it out"
    )


def _unrelated(case: _Case) -> _Judged:
    alike = case.kinship.alignments(case.name)
    if case.least <= UNRELATED or max(alike.get(kind, 0.0) for kind in _TELLING) >= SHARED:
        return None
    return "unrelated", (
        f"{case.name!r} is no fine-tuned {case.base!r}: every class of its weights lies {case.least:.1f} times their "
        "length away, or more; a merge of both means nothing, leave it out or name its own base"
    )


def _duplicate(case: _Case) -> _Judged:
    for other in case.before:
        cosine, times = case.kinship.cosine(case.name, other), case.kinship.length_ratio(case.name, other)
        if cosine > ALIKE:
            length = "" if 0.95 < times < 1.05 else f", {times:.2f} times as long"
            told = f"{case.name!r} and {other!r} have one task vector (cosine {cosine:.3f}{length}): keep one of them"
            return "near-duplicate", told
    return None


def _noise(case: _Case) -> _Judged:
    if not 0.0 < case.kinship.edges.get(case.name, 0.0) < EDGE:
        return None
    return "noise", (
        f"{case.name!r} differs from {case.base!r} as noise does: no direction of its task vector stands out from a "
        "random one's; see what it scores alone before it joins a search"
    )


def _far(case: _Case) -> _Judged:
    if case.least <= UNRELATED:
        return None
    return "far", f"{case.name!r} is far from {case.base!r}, {case.least:.1f} times its length: expect small weights"


def _nearest(kinship: Kinship, name: str) -> tuple[str, float] | None:
    others = [(other, kinship.cosine(name, other)) for other in kinship.names if other != name]
    return max(others, key=lambda pair: pair[1], default=None)
