"""Paths whose layers may be without their attention or their MLP: two indicators for each layer in place of one.

Half of the attention layers of a large model cost it little (He et al. 2024, "What Matters in Transformers? Not All
Attention is Needed", arXiv 2406.15786); which ones is for a search to find.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from search_spaces.errors import SpaceError
from search_spaces.operators.scales import clipped
from search_spaces.recipes.layer_path import HALVES, Half, Step
from search_spaces.spaces.flow import Flow, FlowGenes
from search_spaces.spaces.genes import GeneInfo
from search_spaces.spaces.space import OFF, ON, Structure

if TYPE_CHECKING:  # a campaign file is read without numpy
    import numpy as np
    from numpy.typing import NDArray


def path_genes(depths: Mapping[str, int], flow: Flow) -> FlowGenes | HalfFlowGenes:
    """Return the genes of a path, by whether its layers are whole."""
    genes = FlowGenes(depths, flow)
    return HalfFlowGenes(genes) if flow.halves else genes


class HalfFlowGenes:
    """The genes of a path of half layers: the attention's indicators, the MLPs', then scales and order as of layers.

    A layer is in where one of its halves is, by the higher of their genes, and is without the other half where that is
    at most 0.5. One that is in with neither above 0.5, because every path has a layer, is whole; so are frozen layers.

    Args:
        path: the genes of whole layers.
    """

    def __init__(self, path: FlowGenes) -> None:
        self._path, self._n = path, len(path.places)

    @property
    def dim(self) -> int:
        """Number of genes."""
        return self._path.dim + self._n

    @property
    def structure(self) -> Structure:
        """Which genes are indicators; a place's genes belong together."""
        whole = self._path.structure
        groups = tuple(tuple(range(place, self.dim, self._n)) for place in range(self._n))
        return Structure(self.dim, tuple(range(2 * self._n)), (whole.on[0], 2 * whole.on[1]), groups=groups)

    def gene_names(self) -> Iterator[GeneInfo]:
        """Yield what each gene means, in order."""
        names = list(self._path.gene_names())
        for half in HALVES:
            yield from (replace(name, module=half) for name in names[: self._n])
        yield from names[self._n :]

    def start(self) -> NDArray[np.float64]:
        """Return the genes around which a search begins: as of whole layers."""
        return self._whole(self._path.start())

    def decode(self, genes: NDArray[np.float64]) -> tuple[list[Step], tuple[float, ...] | None]:
        """Return the steps, and their scales; None when all are 1."""
        import numpy as np

        values = np.array([clipped(float(gene)) for gene in genes])
        attention, mlp = values[: self._n], values[self._n : 2 * self._n]
        own = np.concatenate([np.maximum(attention, mlp), values[2 * self._n :]])
        steps, scales = self._path.decode(own)
        first = self._path.flow.frozen_prefix
        for step, i in enumerate(self._path.order(own), start=first):
            steps[step] = steps[step]._replace(without=_without(attention[i] > 0.5, mlp[i] > 0.5))
        return steps, scales

    def encode(self, steps: Sequence[Step], scales: Sequence[float] | None) -> NDArray[np.float64]:
        """Return the genes of a path; those of what is out are neutral."""
        flow, whole = self._path.flow, [step._replace(without=None) for step in steps]
        stop = len(steps) - flow.frozen_suffix
        if any(step.without for step in (*steps[: flow.frozen_prefix], *steps[stop:])):
            raise SpaceError("layers: expected frozen layers that are whole, found one without a half")
        genes = self._whole(self._path.encode(whole, scales))
        for step, i in zip(steps[flow.frozen_prefix : stop], self._path.placed(whole), strict=True):
            for k, half in enumerate(HALVES):
                genes[k * self._n + i] = OFF if step.without == half else ON
        return genes

    def _whole(self, genes: NDArray[np.float64]) -> NDArray[np.float64]:
        import numpy as np

        return np.concatenate([genes[: self._n], genes])


def _without(attention: bool, mlp: bool) -> Half | None:
    if attention == mlp:
        return None
    return "mlp" if attention else "attention"
