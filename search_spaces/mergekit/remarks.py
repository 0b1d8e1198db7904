"""What a file says and the merge does not use: mergekit ignores such keys, here they are remarks (errors if strict).

A misspelt key is told from an unknown one by its distance to the keys that count at its place: what is one or two slips
away from a key that would change the merge stays an error, since nobody wants the merge without it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from search_spaces.errors import SpaceError, few_of
from search_spaces.operators.registry import OPERATORS, nearest_name

TOP = "the file"
IGNORED = "ignored, as by mergekit"
# Slips in these lose no more than how numbers are rounded at the end: they are told, and the merge is carried out.
_ROUNDING = ("dtype", "out_dtype")
_PARAMETERS = frozenset(
    name for operator in OPERATORS.values() for name in (*operator.parameters, *operator.input_parameters)
)
OTHER_PLACES: Mapping[str, str] = {
    "layer_range": "it counts in `slices` only",
    **dict.fromkeys(("base_model", "merge_method", "dtype", "out_dtype"), "it belongs at the top of the file"),
}
_PLACES_TOLD = 3


class Remarks:
    """Collects remarks on one file; one that is made at several places is told once."""

    def __init__(self) -> None:
        """Begin with none."""
        self._places: dict[tuple[str, str], list[str]] = {}

    def add(self, name: str, why: str, place: str = "") -> None:
        """Remark on a key at a place (where it stands in the file; empty: the top)."""
        self._places.setdefault((name, why), []).append(place)

    @property
    def texts(self) -> tuple[str, ...]:
        """What was remarked, each in one line that begins with the key."""
        return tuple(f"{_key(name, places)}: {why}" for (name, why), places in self._places.items())

    def mapping(
        self,
        value: object,
        key: str,
        known: Collection[str],
        *,
        method: str = "",
        elsewhere: Mapping[str, str] = OTHER_PLACES,
    ) -> Mapping[str, Any]:
        """Return the known keys of a mapping, and remark on the others.

        `method` is the one whose parameters they are; `elsewhere` says where keys belong that are of no use here.

        Raises:
            SpaceError: the value is no mapping, or has a slip of a known key that would change the merge.
        """
        data = keys_and_values(value, key)
        for name in map(str, data):
            if name not in known:
                self._unknown(name, key, known, _reason(name, data, known, method, elsewhere))
        return {name: given for name, given in data.items() if name in known}

    def _unknown(self, name: str, key: str, known: Collection[str], why: str) -> None:
        slip = None if why else meant(name, known)
        if slip is not None and slip not in _ROUNDING:
            raise SpaceError(
                f"{key}: expected keys among {few_of(sorted(known), name)}, found {name!r} (did you mean {slip!r}?); "
                "a slip in a key that would change the merge is an error, other unknown keys are warnings"
            )
        if slip is not None:
            why = f"no such key (did you mean {slip!r}? Without it the result has the parents' dtype)"
        self.add(name, f"{IGNORED}: {why or 'no such key' + nearest_name(name, known)}", "" if key == TOP else key)


def _reason(
    name: str, data: Mapping[Any, Any], known: Collection[str], method: str, elsewhere: Mapping[str, str]
) -> str:
    """Return why a key has no effect here that means something elsewhere, or is a slip of one that stands beside it.

    Empty: it means nothing, or is a slip of a key that is not there.
    """
    if name in elsewhere:
        return elsewhere[name]
    if name in _PARAMETERS:
        return f"{method} does not use it" if method else "it belongs under `parameters`"
    slip = meant(name, known)
    return f"no such key; {slip!r} beside it counts" if slip in data else ""


def keys_and_values(value: object, key: str) -> Mapping[Any, Any]:
    """Return a value that is a mapping."""
    if not isinstance(value, Mapping):
        raise SpaceError(f"{key}: expected keys and values, found {value!r}")
    return value


def only_known(value: object, key: str, known: Collection[str]) -> Mapping[str, Any]:
    """Return a value that is a mapping with known keys only."""
    data = keys_and_values(value, key)
    for name in data:
        if name not in known:
            expected = f"{key}: expected keys among {few_of(sorted(known), name)}"
            raise SpaceError(f"{expected}, found {name!r}{nearest_name(str(name), known)}")
    return data


def sequence(value: object, key: str) -> list[object]:
    """Return a value that is a list of at least one."""
    if not isinstance(value, list) or not value:
        raise SpaceError(f"{key}: expected a list of at least one, found {value!r}")
    return value


def meant(name: str, known: Iterable[str]) -> str | None:
    """Return the known key that a name is a slip of: another case, or one (from six letters on: two) typing slips."""
    near = []
    for other in known:
        slips, most = _slips(name.lower(), other.lower()), 0 if len(other) < 4 else 1 if len(other) < 6 else 2
        if name != other and slips <= most:
            near.append((slips, other))
    return min(near)[1] if near else None


def _slips(one: str, two: str) -> int:
    """Return how many letters must be added, left out, replaced or exchanged with the next one (Damerau's distance)."""
    before: list[int] = []
    last, row = before, list(range(len(two) + 1))
    for i, a in enumerate(one):
        before, last, row = last, row, [i + 1]
        for j, b in enumerate(two):
            row.append(min(last[j + 1] + 1, row[j] + 1, last[j] + (a != b)))
            if i and j and a == two[j - 1] and one[i - 1] == b:
                row[-1] = min(row[-1], before[j - 1] + 1)
    return row[-1]


def _key(name: str, places: list[str]) -> str:
    keys = list(dict.fromkeys(f"{place}.{name}" if place else name for place in places))
    more = len(keys) - _PLACES_TOLD
    return ", ".join(keys[:_PLACES_TOLD]) + (f" and {more} more" if more > 0 else "")
