"""How a task is named in campaign files and on the command line: a place, and after a colon what to measure there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

JS_DIVERGENCE = "js_divergence"
_PYTHON = "python:"
_HUB = "hf:"
_ROWS = (".jsonl", ".csv", ".tsv", ".parquet")
_YAML = (".yaml", ".yml")
FILES = (*_ROWS, *_YAML)


@dataclass(frozen=True)
class TaskSource:
    """A parsed source of tasks."""

    # `rows` and `yaml` are files, `dataset` one of the hub's, `lm_eval` a name of lm-eval's, `python` a function
    kind: Literal["rows", "dataset", "yaml", "lm_eval", "python"]
    # the file's path, the dataset's or lm-eval's name, or the function's module (dotted, or a path ending in `.py`)
    place: str
    # what follows the last colon: the metric (`METRIC` or `METRIC,FILTER`), empty for the default one; or the
    # function's name
    detail: str = ""
    # of lm-eval's names and the hub's: what follows an `@`, the split of the dataset that items come from; empty for
    # the one that the task says, or `test`
    split: str = ""

    @classmethod
    def parse(cls, text: str) -> TaskSource:
        """Read what a campaign names.

        `FILE.jsonl[:METRIC]` (also csv, tsv, parquet), `FILE.yaml[:METRIC]`, `NAME[@SPLIT][:METRIC]`,
        `hf:DATASET[/CONFIG][@SPLIT][:METRIC]`, `python:MODULE:FUNCTION`.
        """
        if text.startswith(_PYTHON):
            place, _, function = text.removeprefix(_PYTHON).rpartition(":")
            return cls("python", place, function)
        file, _, metric = (text, "", "") if text.endswith(FILES) else text.rpartition(":")
        if text.startswith(_HUB):
            name, _, metric = text.removeprefix(_HUB).partition(":")
            name, _, split = name.partition("@")
            return cls("dataset", name, metric, split)
        if file.endswith(_ROWS):
            return cls("rows", file, metric)
        if file.endswith(_YAML):
            return cls("yaml", file, metric)
        name, _, metric = text.partition(":")
        name, _, split = name.partition("@")
        return cls("lm_eval", name, metric, split)

    @property
    def is_file(self) -> bool:
        """Whether `place` is a path."""
        return self.kind in ("rows", "yaml") or (self.kind == "python" and self.place.endswith(".py"))

    @property
    def dataset(self) -> tuple[str, str]:
        """A dataset's name, OWNER/NAME or a path, and its configuration, empty for the only one."""
        parts = self.place.split("/")
        hub = len(parts) == 3 and parts[0] not in ("", ".", "..", "~")
        return ("/".join(parts[:2]), parts[2]) if hub else (self.place, "")

    @property
    def wants_expert(self) -> bool:
        """Whether its scores compare a candidate with an expert."""
        return self.kind != "python" and self.detail == JS_DIVERGENCE

    def at(self, place: str) -> TaskSource:
        """Return the same source elsewhere."""
        return replace(self, place=place)

    def __str__(self) -> str:
        colon, at = ":" if self.detail else "", "@" if self.split else ""
        prefix = {"python": _PYTHON, "dataset": _HUB}.get(self.kind, "")
        return f"{prefix}{self.place}{at}{self.split}{colon}{self.detail}"
