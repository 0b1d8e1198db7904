"""How a task is named in campaign files and on the command line: a place, and after a colon what to measure there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

JS_DIVERGENCE = "js_divergence"
_PYTHON = "python:"
_JSONL = (".jsonl",)
_YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class TaskSource:
    """A parsed source of tasks."""

    # `jsonl` and `yaml` are files, `lm_eval` a name of lm-eval's, `python` a function
    kind: Literal["jsonl", "yaml", "lm_eval", "python"]
    place: str  # the file's path, lm-eval's name, or the function's module (dotted, or a path ending in `.py`)
    # what follows the last colon: the metric (`METRIC` or `METRIC,FILTER`), empty for the default one; or the
    # function's name
    detail: str = ""
    # of lm-eval's names only: what follows an `@`, the split of the dataset that items come from; empty for the one
    # that the task says
    split: str = ""

    @classmethod
    def parse(cls, text: str) -> TaskSource:
        """Read `FILE.jsonl[:METRIC]`, `FILE.yaml[:METRIC]`, `NAME[@SPLIT][:METRIC]`, `python:MODULE:FUNCTION`."""
        if text.startswith(_PYTHON):
            place, _, function = text.removeprefix(_PYTHON).rpartition(":")
            return cls("python", place, function)
        file, _, metric = (text, "", "") if text.endswith(_JSONL + _YAML) else text.rpartition(":")
        if file.endswith(_JSONL):
            return cls("jsonl", file, metric)
        if file.endswith(_YAML):
            return cls("yaml", file, metric)
        name, _, metric = text.partition(":")
        name, _, split = name.partition("@")
        return cls("lm_eval", name, metric, split)

    @property
    def is_file(self) -> bool:
        """Whether `place` is a path."""
        return self.kind in ("jsonl", "yaml") or (self.kind == "python" and self.place.endswith(".py"))

    @property
    def wants_expert(self) -> bool:
        """Whether its scores compare a candidate with an expert."""
        return self.kind != "python" and self.detail == JS_DIVERGENCE

    def at(self, place: str) -> TaskSource:
        """Return the same source elsewhere."""
        return replace(self, place=place)

    def __str__(self) -> str:
        colon, at = ":" if self.detail else "", "@" if self.split else ""
        return f"{_PYTHON if self.kind == 'python' else ''}{self.place}{at}{self.split}{colon}{self.detail}"
