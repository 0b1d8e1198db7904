"""A merge whose coefficients a descent learns, carried out as a checkpoint: a parent of a search from then on."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomerge.assembly.live_models import alone, module_to_fill
from evomerge.assembly.parts import Parts
from evomerge.assembly.terrain import Setting, taught, terrain_of
from evomerge.optimisers.gradient.descent import NOTE, Snapshot
from evomerge.optimisers.gradient.options import Gradient
from evomerge.optimisers.terrain import Course, Terrain
from evomerge.results.model_card import DESCENT
from evomerge.spaces import Weights
from evomerge.version import __version__
from evomerge.whole_file import prepared_file
from search_spaces.live.coefficients import CoefficientModel
from search_spaces.output.export import export
from search_spaces.recipes.groups import Groups


@dataclass(frozen=True)
class LearntMerge:
    """A merge that a descent on search items makes of a campaign's parents; no other items are looked at.

    Attributes:
        parts: of the campaign, without the merge.
        options: of the descent.
        merged: the parents whose task vectors have coefficients.
    """

    parts: Parts
    options: Gradient
    merged: tuple[str, ...]

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the coefficients follow from, but for rounding."""
        parts, config = self.parts, self.parts.config
        named = zip(config.objectives, parts.objectives, strict=True)
        return {
            "descent": self.options.model_dump(exclude={"warm_start"}),
            **({"groups": repr(self._groups)} if self.options.per == "group" else {}),
            "parents": {name: source.reference for name, source in config.sources.items()},
            "base": config.base_name,
            "merged": list(self.merged),
            "dtype": config.export.dtype,
            "tokenizer": repr(config.output_tokenizer),
            "seed": config.seed,
            "objectives": [[o.name, list(of.tasks), of.weight, o.expert] for o, of in named],
            "search items": parts.fitness.content_digest(parts.fitness.splits.items["search"]),
        }

    @property
    def digest(self) -> str:
        """64 hex digits that name the merge."""
        return hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode()).hexdigest()

    def write(self, target: Path, say: Callable[[str], object]) -> None:
        """Learn, and write the checkpoint, all of it or nothing; a killed descent goes on from its last snapshot."""
        notes = NotesInFile(target.with_name(f".{target.name}.{DESCENT}"))
        snapshots = []
        for snapshot in self.options.descent_on(self._terrain, self.parts.config.seed, notes):
            say(f"step {snapshot.step}, loss {snapshot.held_back:.4f} on items held back")
            snapshots.append(snapshot)
        self._carry_out(min(snapshots, key=lambda one: one.held_back), target, self._told(snapshots))
        notes.file.unlink(missing_ok=True)

    def _told(self, snapshots: list[Snapshot]) -> str:
        """Return how it was learnt, as JSON."""
        rows = [
            {"step": s.step, "loss": None if math.isnan(s.loss) else s.loss, "held back": s.held_back}
            for s in snapshots
        ]
        best = min(snapshots, key=lambda one: one.held_back)
        computed = {"evomerge": __version__, "computed in": self.parts.config.engine.dtype}
        told = {**self.facts, "digest": self.digest, **computed, "snapshots": rows, "taken": best.step}
        return json.dumps(told, indent=2, ensure_ascii=False) + "\n"

    def _carry_out(self, taken: Snapshot, target: Path, told: str) -> None:
        import torch

        values, files = torch.from_numpy(taken.values), {DESCENT: told}
        model, parents, config = self._model(), self.parts.parents, self.parts.config
        code = config.trust_remote_code
        if self.options.per == "column":
            form = alone(config, config.base_name)
            export(form, parents, target, extra_files=files, make=model.columns(values), remote_code=code)
        else:
            export(model.recipe(values), parents, target, extra_files=files, remote_code=code)

    def _terrain(self, course: Course) -> Terrain:
        parts = self.parts
        model = self._model()
        setting = Setting(parts.config, parts.parents, None, parts.fitness, parts.objectives)
        lessons = taught(setting, course, model.model)
        ends = np.full((len(self.merged), 1), math.inf)
        return terrain_of(model, lessons, course, (-ends, ends), _no_genome)

    def _model(self) -> CoefficientModel:
        config, parents = self.parts.config, self.parts.parents
        return CoefficientModel(
            module_to_fill(config, parents),
            parents,
            base=config.base_name,
            merged=self.merged,
            per=self.options.per,
            groups=self._groups,
            bounds=(0.0, 1.0) if self.options.clamps else None,
            dtype=config.export.dtype,
        )

    @property
    def _groups(self) -> Groups:
        """The space's own, where it has any but tensors."""
        space = self.parts.config.space
        own = space.groups if isinstance(space, Weights) else None
        if own is None or own.modules == ("tensor",):
            return Groups()
        return Groups(own.layer_blocks, own.modules, own.depth, stack=own.stack)


class NotesInFile:
    """What a descent notes (`optimisers.terrain.Notes`), in a file of its own: only the last fact is kept."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def noted(self, key: str) -> str | None:
        """Return what was noted last, or None."""
        assert key == NOTE
        return self.file.read_text(encoding="utf-8") if self.file.is_file() else None

    def note(self, key: str, value: str) -> None:
        """Keep a fact, replacing an earlier one."""
        assert key == NOTE
        prepared_file(self.file)(value)


def _no_genome(_: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.empty(0)
