"""Genes in a table: those that are alike share a row, or each has its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search_spaces.spaces.genes import GeneInfo

Row = tuple[str, str, str]  # how many or which, what, between which values


def grouped(genes: Sequence[GeneInfo]) -> list[Row]:
    """Return a row for each parameter and range: how many genes, of which parents and groups, and the range."""
    alike: dict[tuple[str, str], list[GeneInfo]] = {}
    for gene in genes:
        alike.setdefault((gene.parameter, gene.range), []).append(gene)
    return [(str(len(those)), _in_words(those), between) for (_, between), those in alike.items()]


def each(genes: Sequence[GeneInfo]) -> list[Row]:
    """Return a row per gene; genes of single layers that follow each other, otherwise alike, share one."""
    rows: list[tuple[int, int, GeneInfo]] = []
    for i, gene in enumerate(genes):
        before = rows[-1][2] if rows else None
        if (
            before
            and before.layers
            and gene.layers
            and gene == replace(before, layers=gene.layers)
            and (gene.layers == (before.layers[1], before.layers[1] + 1))
        ):
            rows[-1] = (rows[-1][0], i, replace(gene, layers=(before.layers[0], gene.layers[1])))
        else:
            rows.append((i, i, gene))
    return [(str(a) if a == b else f"{a}-{b}", str(gene), gene.range) for a, b, gene in rows]


def _in_words(genes: Sequence[GeneInfo]) -> str:
    if len(genes) == 1:
        return str(genes[0])
    parents = list(dict.fromkeys(gene.parent for gene in genes if gene.parent is not None))
    places = {(gene.layers, gene.module, gene.tensor) for gene in genes}
    who = f" of each of {len(parents)} parents" if len(parents) > 1 else f" of {parents[0]}" if parents else ""
    return f"{genes[0].parameter}{who}" + (f", in {len(places)} groups of tensors" if len(places) > 1 else "")
