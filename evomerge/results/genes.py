"""What the numbers of a genome mean, noted in the archive, so that a reader needs neither the space nor the parents."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from evomerge.archive import Archive
from search_spaces.operators.scales import Choice, Integers, Linear, Log, Options, Quantised, Scale
from search_spaces.recipes.rule import Parameter
from search_spaces.spaces.genes import GeneInfo

NOTE = "genes"
_SCALES = {scale.__name__: scale for scale in (Linear, Log, Choice, Integers, Options, Quantised)}


def note_genes(archive: Archive, genes: Sequence[GeneInfo]) -> None:
    """Record the genes of a campaign's space."""
    archive.note(NOTE, json.dumps([list(map(str, genes)), [gene.scale and _noted(gene.scale) for gene in genes]]))


@dataclass(frozen=True)
class NotedGenes:
    """The genes that an archive notes; archives of earlier versions note none."""

    names: tuple[str, ...]
    scales: tuple[Scale | None, ...]  # gene -> value; None where the number itself is shown

    @staticmethod
    def read(archive: Archive) -> NotedGenes:
        """Return what `note_genes` recorded."""
        return archive.parsed(NOTE, _noted_genes, damaged="skip") or NotedGenes((), ())

    def values(self, genome: object) -> dict[str, Parameter]:
        """Return name -> value of a cube vector; its numbers as `gene 0`, ... where nothing fits; nothing of others."""
        if not isinstance(genome, np.ndarray):
            return {}
        numbers: list[float] = genome.tolist()
        if len(self.names) != len(numbers):
            return {f"gene {i}": number for i, number in enumerate(numbers)}
        read = zip(self.names, self.scales, numbers, strict=True)
        return {name: number if scale is None else scale.value(number) for name, scale, number in read}


def _noted(scale: Scale) -> tuple[str, dict[str, object]]:
    return type(scale).__name__, {field.name: getattr(scale, field.name) for field in fields(scale)}  # type: ignore[arg-type]


def _scale(kind: str, noted: dict[str, object]) -> Scale:
    known = {name: tuple(value) if isinstance(value, list) else value for name, value in noted.items()}
    made: Scale = _SCALES[kind](**known)  # type: ignore[arg-type]
    return made


def _noted_genes(text: str) -> NotedGenes:
    names, noted = json.loads(text)
    return NotedGenes(tuple(map(str, names)), tuple(None if scale is None else _scale(*scale) for scale in noted))
