"""The response matrices that emulators are fitted to: whose answers they are, and at which genomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

import evomerge as em
from search_spaces import Groups, WeightSpace

HERE = Path(__file__).parent
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Source:
    """A matrix, and the campaign that made it.

    Attributes:
        campaign: the file that `evomerge reduce` made the matrix with.
        matrix: its rows, as one file.
        n_layers: depth of the models.
    """

    campaign: Path
    matrix: Path
    n_layers: int

    @property
    def space(self) -> WeightSpace:
        """The campaign's space; the parents' files need not be there."""
        found: Mapping[str, Any] = yaml.safe_load(self.campaign.read_text(encoding="utf-8"))
        names = [Path(path).name for path in (found["base"], *found["parents"])]
        section = found["space"]
        return WeightSpace(
            {name: em.ParentSource(f"/models/{name}") for name in names},
            names[0],
            n_layers=self.n_layers,
            operators=[section["operator"]],
            groups=Groups(section["groups"]["layer_blocks"], tuple(section["groups"]["modules"])),
            genes={name: tuple(bounds) for name, bounds in section["genes"].items()},
            dtype=found["export"]["dtype"],
            seed=found["seed"],
        )

    def read(self) -> Answers:
        """Return who answered what; genomes are drawn again from the campaign's seed."""
        seed = yaml.safe_load(self.campaign.read_text(encoding="utf-8"))["seed"]
        found, space = em.responses.read_matrix(self.matrix), self.space
        whole = np.flatnonzero(np.isfinite(found.scores).all(axis=1)).tolist()
        numbers = {i: int(name.split()[1]) for i, name in enumerate(found.models) if name.startswith("random ")}
        candidates = em.responses.respondents(space, max(numbers.values()) + 1, seed)
        rows = [row for row in numbers if row in whole]
        genomes = np.array([space.encode(candidates[numbers[row]].recipe) for row in rows])
        named = [row for row, model in enumerate(found.models) if row not in numbers and row in whole]
        landmarks = {found.models[row]: found.scores[row] for row in named}
        return Answers(found.items, genomes, found.scores[rows], landmarks)


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers of random merges, and of landmarks.

    Attributes:
        items: (n_items,) ids, `task/item`.
        genomes: (n_merges, dim) in [0, 1].
        scores: (n_merges, n_items) 0 or 1.
        landmarks: name -> (n_items,) 0 or 1.
    """

    items: tuple[str, ...]
    genomes: Floats
    scores: Floats
    landmarks: Mapping[str, Floats]

    @property
    def tasks(self) -> dict[str, NDArray[np.intp]]:
        """Task -> places of its items."""
        names = np.array([item.partition("/")[0] for item in self.items])
        return {str(name): np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())}


REDUCTION = HERE.parent / "reduction"
SOURCES: Mapping[str, Source] = {
    "smollm": Source(REDUCTION / "smollm_merges.yaml", REDUCTION / "smollm_matrix.parquet", 30),
    "quickstart": Source(HERE / "matrices" / "quickstart.yaml", HERE / "matrices" / "quickstart.parquet", 6),
    "adapters": Source(HERE / "matrices" / "adapters.yaml", HERE / "matrices" / "adapters.parquet", 6),
}
