"""Landmarks that a campaign scores besides those of its space: which ones there are, and what tables call them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from evomerge.fields import Text
from evomerge.optimisers.terrain import WARM_START
from evomerge.wording import did_you_mean, in_words, mismatch, refuse
from search_spaces.errors import SpaceError
from search_spaces.operators.registry import OPERATORS, find_operator

SCALES = (0.5, 0.7, 0.3, 1.0)  # of task arithmetic
# What `auto` takes, the first the most wanted where not all of them fit.
INFORMED = ("regmean", "wudi", "task_arithmetic")
GRADIENT = WARM_START  # among operators: where a descent on the space's own groups ends
MIDDLE = "middle of the space"  # where a search begins that no landmark tells where
_NAMES: Mapping[str, str] = {
    "regmean": "RegMean",
    "regmean_plus": "RegMean++",
    "wudi": "WUDI",
    GRADIENT: "gradient descent",
}


def weights_of(operator: str) -> tuple[float, ...]:
    """Return the weights of every parent that an operator's landmarks have, the most wanted first."""
    return SCALES if operator == "task_arithmetic" else (1.0,)


def name_of(operator: str, weight: float) -> str:
    """Return what tables call an operator's landmark."""
    if operator == "task_arithmetic":
        return f"task arithmetic {weight:g}"
    return _NAMES.get(operator, f"default {operator}")


FURTHER_NAMES = (*(name_of("task_arithmetic", scale) for scale in sorted(SCALES)), *_NAMES.values(), MIDDLE)


def _can_be_one(name: str) -> bool:
    """Return whether an operator merges any number of parents without being told how."""
    if name == GRADIENT:
        return True
    try:
        operator = find_operator(name)
    except SpaceError:
        return False
    open_ones = {key for key, kind in operator.kinds.items() if kind.default is None}
    return operator.n_inputs[1] is None and open_ones <= {"weight"}


def _are_known(landmarks: str | Sequence[str]) -> str | Sequence[str]:
    if isinstance(landmarks, str):
        return landmarks
    known = [*(name for name in OPERATORS if _can_be_one(name)), GRADIENT]
    problems = [
        mismatch(
            f"an operator that has defaults, such as {', '.join(known)}",
            in_words(name),
            did_you_mean(name, known),
            at=[i],
        )
        for i, name in enumerate(landmarks)
        if not _can_be_one(name)
    ]
    problems += [
        mismatch("each operator once", in_words(name), at=[i])
        for i, name in enumerate(landmarks)
        if name in landmarks[:i]
    ]
    if problems:
        refuse(problems)
    return landmarks


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) and value not in ("auto", "none") else value


_Operators: TypeAlias = Annotated[tuple[Text, ...], Field(min_length=1)]
Landmarks: TypeAlias = Annotated[
    Literal["auto", "none"] | _Operators,
    BeforeValidator(_as_list, json_schema_input_type=str | list[str]),
    AfterValidator(_are_known),
]
