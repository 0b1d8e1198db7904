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
from search_spaces.spaces.known_merges import genome_of

HERE = Path(__file__).parent
MOST = 400  # models of a matrix
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

    def genomes(self) -> dict[str, Floats]:
        """Return model -> genome of what `evomerge reduce` scored, drawn again from the campaign's seed."""
        seed = yaml.safe_load(self.campaign.read_text(encoding="utf-8"))["seed"]
        space, found = self.space, {}
        for candidate in em.responses.respondents(space, MOST, seed):
            genome = genome_of(space, candidate.recipe)
            if genome is not None:
                found[candidate.label or f"random {candidate.number}"] = genome
        return found

    def read(self) -> Answers:
        """Return who answered what, random merges with their genomes."""
        found, genomes = em.responses.read_matrix(self.matrix), self.genomes()
        scored = {model: row for model, row in zip(found.models, found.scores, strict=True) if np.isfinite(row).all()}
        random = [model for model in scored if model.startswith("random ")]
        landmarks = {model: row for model, row in scored.items() if model not in random}
        return Answers(
            found.items, np.array([genomes[m] for m in random]), np.array([scored[m] for m in random]), landmarks
        )


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
