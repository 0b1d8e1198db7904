"""Where a search of paths begins that is told so: its own path without the parts that change the hidden state least."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evomerge.assembly.live_models import build_resident
from evomerge.assembly.parts import Parts
from fitness.engine.language_model import Completion
from fitness.screening.screening import draw_prompts
from search_spaces.errors import SpaceError
from search_spaces.layers.halves import half_outlets
from search_spaces.live.importance import importances
from search_spaces.recipes.layer_path import HALVES, steps_of
from search_spaces.spaces.joint import JointSpace
from search_spaces.spaces.layer_flow import LayerFlowSpace
from search_spaces.spaces.space import OFF

if TYPE_CHECKING:
    from fitness.engine.model.tokenizer import Tokenizer

N_PROMPTS = 64
SHARES = (1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2)  # of the parts of the path, that are dropped


def important_starts(parts: Parts) -> list[NDArray[np.float64]]:
    """Return genomes of the space's own path, whole and without shares of it, the least important parts first.

    Parts are halves of layers where the space has them, else layers, whose importance is the sum of their halves'.

    Raises:
        SpaceError: the space is none of paths, or there is nothing to read.
    """
    space = parts.space
    if not isinstance(space, LayerFlowSpace | JointSpace):
        raise SpaceError(
            "warm_start: importance: expected a space of kind layer_flow or joint, whose layers can be left out, found "
            f"one of kind {parts.config.space.kind}; leave it out"
        )
    half_outlets(parts.parents[parts.config.base_name])  # that the halves are known
    whole = space.decode(space.start())
    resident = build_resident(parts.config, parts.parents)
    resident.become(whole)
    found = importances(resident.model, _prompts(parts))
    gene_of = _genes_of(space)
    ranked: dict[int, float] = {}  # gene -> importance
    for step, of_halves in zip(steps_of(whole), found, strict=True):
        for half in HALVES:
            gene = gene_of.get((step.source, step.layer, half), gene_of.get((step.source, step.layer, None)))
            if gene is not None:  # frozen layers have none
                ranked[gene] = ranked.get(gene, 0.0) + of_halves[half]
    order = sorted(ranked, key=lambda gene: (ranked[gene], gene))
    genome = np.asarray(space.encode(whole), dtype=np.float64)
    sizes = dict.fromkeys([0, *(round(share * len(order)) for share in SHARES)])
    return [_without(genome, order[:size]) for size in sizes if size < len(order)]


def _without(genome: NDArray[np.float64], genes: list[int]) -> NDArray[np.float64]:
    found = genome.copy()
    found[genes] = OFF
    return found


def _genes_of(space: LayerFlowSpace | JointSpace) -> Mapping[tuple[str, int, str | None], int]:
    """Return (source, layer, half; None for both) -> the gene that says whether it is in, of the first pass."""
    found: dict[tuple[str, int, str | None], int] = {}
    for gene, info in enumerate(space.gene_names()):
        if gene in space.structure.indicators and info.parent is not None and info.layers is not None:
            found.setdefault((info.parent, info.layers[0], info.module), gene)
    return found


def _prompts(parts: Parts) -> list[list[int]]:
    drawn = draw_prompts(parts.fitness, parts.objectives, N_PROMPTS)
    tokenizer: Tokenizer | None = getattr(parts.fitness.language_model, "tokenizer", None)
    if tokenizer is None or not drawn:
        raise SpaceError(
            "warm_start: importance: expected search items with prompts, found none: Python tasks run the model "
            "themselves; leave it out"
        )
    texts = [prompt.prompt if isinstance(prompt, Completion) else prompt.text for prompt in drawn.values()]
    return [ids[-tokenizer.max_length :] for ids in map(tokenizer.encode, texts) if ids]
