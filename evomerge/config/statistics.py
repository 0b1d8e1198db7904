"""The section `statistics` of a campaign file: what parents read for operators that know more than weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from pydantic import BaseModel, Field
from pydantic_core import InitErrorDetails

from evomerge.config.paths import ExistingFile
from evomerge.fields import SECTION, Count, Text
from evomerge.wording import did_you_mean, in_words, mismatch

MOMENTS = "moments"

_Moments: TypeAlias = Mapping[Text, ExistingFile]


class StatisticsConfig(BaseModel):
    """What parents read for operators that know more than weights, such as regmean; nothing where there is none."""

    model_config = SECTION

    prompts: Count = 64
    """How many prompts of each task, the first of its search items; or lines of `calibration`. Right answers are not
    looked at: a parent continues a prompt greedily. A task's prompts are read by its objective's `expert`, else by the
    parent that answers them with least surprise; a parent without a task reads all."""
    calibration: ExistingFile | None = None
    """A JSONL file that every parent reads in place of the tasks' prompts: it continues `{"prompt": ...}`, and reads
    `{"text": ...}` as it is."""
    moments: _Moments = Field(default_factory=dict)
    """Parent -> a safetensors file with the second moments that Adam ended its training with, for operators that read
    them."""

    def problems(self, parents: Sequence[str] | None, kinds: Sequence[str]) -> list[InitErrorDetails]:
        """Return what does not suit the parents to merge, by name (None: they are wrong themselves), and the space."""
        if parents is None:
            return []
        unknown = [
            mismatch(f"one of {', '.join(parents)}", in_words(name), did_you_mean(name, parents), at=[MOMENTS, name])
            for name in self.moments
            if name not in parents
        ]
        missing = [name for name in parents if MOMENTS in kinds and name not in self.moments]
        if missing and not unknown:
            expected = f"a file for every parent, as an operator of the space reads {MOMENTS}"
            return [mismatch(expected, f"none for {', '.join(missing)}", at=[MOMENTS])]
        return unknown
