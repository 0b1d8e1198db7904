"""What the sections of a campaign file are made of: kinds of values.

The docstring under each key of a section is its description in `campaign.schema.json`, which editors show.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import ConfigDict, Field, Strict, StringConstraints

SECTION = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

Flag: TypeAlias = Annotated[bool, Strict()]
MOST = 10**6  # of anything that is counted, unless it says otherwise: what is above was not meant
MOST_EVALUATIONS, MOST_WORKERS = 10 * MOST, 10_000
Whole: TypeAlias = Annotated[int, Strict(), Field(le=MOST)]
Count: TypeAlias = Annotated[Whole, Field(ge=1)]
FromZero: TypeAlias = Annotated[Whole, Field(ge=0)]
Seed: TypeAlias = Annotated[int, Strict(), Field(ge=0, lt=2**64)]
Evaluations: TypeAlias = Annotated[int, Strict(), Field(ge=1, le=MOST_EVALUATIONS)]
Layers: TypeAlias = Annotated[Whole, Field(ge=0, le=10_000)]
Real: TypeAlias = Annotated[float, Strict(), Field(allow_inf_nan=False)]
PositiveReal: TypeAlias = Annotated[Real, Field(gt=0)]
Share: TypeAlias = Annotated[Real, Field(ge=0, le=1)]
Text: TypeAlias = Annotated[str, StringConstraints(min_length=1)]


def is_number(value: object) -> bool:
    """Return whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
