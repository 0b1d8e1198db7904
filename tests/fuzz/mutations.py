"""Valid documents with something wrong in them: a value of another kind, a key less or more, other bytes."""

from __future__ import annotations

import contextlib
import copy
import json
import sys
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

DEEP: list[Any] = []
for _ in range(400):
    DEEP = [DEEP]
HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**21, 10**4400),
    *(0.5, -0.0, 1e308, float("inf"), float("-inf"), float("nan")),
    *("", " ", "x", "0", "-1", "1e999", "\x00", "\x1b[2J", "a\nb", "[/x]", "../../..", "/dev/zero", "~", "a" * 70_000),
    *("\u202e", "é" * 300, "\ud800", "٣", "!!python/name:os.system", "org/name", "{{ x }}", "(a+)+$", "[", "*"),
    *([], {}, [[]], [None], {"": ""}, {"x": 1}, [1, 2, 3], ["a", "a"], DEEP),
)
INSERTED = (b"\x00", b"\xff", b"&a *a", b"!!", b"{[")
HOSTILE_VALUES = st.one_of(
    st.sampled_from(HOSTILE),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.recursive(st.none() | st.booleans(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
)


def _paths(document: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where every part of a document is, but for the document itself."""
    if not isinstance(document, dict | list):
        return [at] if at else []
    children = document.items() if isinstance(document, dict) else enumerate(document)
    own = [at] if at else []
    return own + [path for key, child in children for path in _paths(child, (*at, key))]


def _part(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


@contextlib.contextmanager
def any_number_of_digits() -> Iterator[None]:
    """Let integers be written that Python itself would not read."""
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        yield
    finally:
        sys.set_int_max_str_digits(before)


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> Any:
    """Change a document of mappings, lists and scalars in one to three places."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        paths = _paths(changed)
        if not paths:
            break
        path = draw(st.sampled_from(paths))
        holder, key = _part(changed, path[:-1]), path[-1]
        match draw(st.sampled_from(("replace", "replace", "replace", "delete", "add", "swap", "wrap", "twice"))):
            case "replace":
                holder[key] = copy.deepcopy(draw(HOSTILE_VALUES))
            case "delete":
                del holder[key]
            case "add" if isinstance(holder, dict):
                holder[draw(st.text(max_size=4))] = copy.deepcopy(draw(HOSTILE_VALUES))
            case "swap":
                holder[key] = copy.deepcopy(_part(changed, draw(st.sampled_from(paths))))
            case "wrap":
                holder[key] = [holder[key]]
            case "twice" if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[key]))
    return changed


@st.composite
def mutated_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Cut, flip, insert, repeat or remove some bytes."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at, n = draw(st.integers(0, len(changed))), draw(st.integers(1, 40))
        match draw(st.sampled_from(("flip", "flip", "cut", "insert", "repeat", "remove"))):
            case "flip" if at < len(changed):
                changed[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del changed[at:]
            case "insert":
                changed[at:at] = draw(st.binary(max_size=20) | st.sampled_from(INSERTED))
            case "repeat":
                changed[at:at] = changed[at : at + n] * draw(st.integers(1, 50))
            case "remove":
                del changed[at : at + n]
    return bytes(changed)


def as_json(document: Any) -> str:
    """Write JSON with whatever Python can write, NaN and lone surrogates included."""
    with any_number_of_digits():
        return json.dumps(document, ensure_ascii=False, default=str)


def json_text(document: Any) -> st.SearchStrategy[bytes]:
    """Return a JSON document's text with something wrong in it."""
    whole = json.dumps(document).encode()
    return mutated(document).map(_encoded) | mutated_bytes(whole)


def _encoded(document: Any) -> bytes:
    return as_json(document).encode("utf-8", "surrogatepass")
