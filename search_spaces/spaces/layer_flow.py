"""The layer-flow space: which layers of which parents a token runs through, in which order, scaled by how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from search_spaces.errors import SpaceError
from search_spaces.recipes.layer_path import MERGED, Half, Step, runs, silence, steps_of
from search_spaces.recipes.recipe import SHARED_VOCABULARY, ExportDtype, OutputTokenizer, ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule, Where
from search_spaces.spaces.flow import Flow
from search_spaces.spaces.genes import GeneInfo
from search_spaces.spaces.half_blocks import path_genes
from search_spaces.spaces.space import Genome, Landmark, Structure

Outlets: TypeAlias = Mapping[Half, Sequence[str]]


class LayerFlowSpace:
    """Recipes whose layers are those of the parents, as they are, in a new succession.

    A genome is float64 (dim,) in [0, 1]; `FlowGenes` says what each number means. All parents must be of one width;
    their depths may differ. What lies outside the layers comes from one parent.

    The space of Akiba et al. 2024 ("Evolutionary Optimization of Model Merging Recipes", data flow space) with one
    scale per step in place of one per pair of layers.
    """

    def __init__(  # noqa: PLR0913 -- what every recipe shares, and what paths there are
        self,
        parents: Mapping[str, ParentSource],
        base: str,
        *,
        depths: Mapping[str, int],
        flow: Flow,
        sources: Sequence[str] = (),
        embeddings_from: str | None = None,
        dtype: ExportDtype = "bfloat16",
        seed: int = 0,
        tokenizer: OutputTokenizer = SHARED_VOCABULARY,
        outlets: Outlets = MappingProxyType({}),
    ) -> None:
        """Lay the genes out.

        Args:
            parents: name -> source, the base included.
            base: the parent that donates config and tokenizer.
            depths: number of layers of every parent.
            flow: which paths.
            sources: the parents whose layers can be run, in the order in which they are laid out; none: all of them.
            embeddings_from: the parent that gives embeddings, final norm and head; None: the first source.
            dtype: what recipes are rounded to.
            seed: of the recipes.
            tokenizer: the recipes'.
            outlets: half of a layer -> parts of the names of what it writes through, for paths of half layers.

        Raises:
            SpaceError: an unknown parent, or see `FlowGenes`.
        """
        self._parents, self._base, self._dtype, self._seed = dict(parents), base, dtype, seed
        self._tokenizer, self._depths, self._outlets = tokenizer, dict(depths), outlets
        sources = tuple(sources) or tuple(parents)
        self._outside = sources[0] if embeddings_from is None else embeddings_from
        _check_names(self._parents, {"base": base, "embeddings_from": self._outside}, sources)
        self._genes = path_genes({name: depths[name] for name in sources}, flow)

    @property
    def dim(self) -> int:
        """Length of a genome."""
        return self._genes.dim

    @property
    def structure(self) -> Structure:
        """Which genes are indicators of layers, and which scales and keys count under each."""
        return self._genes.structure

    def gene_names(self) -> list[GeneInfo]:
        """Return what each dimension means, in order."""
        return list(self._genes.gene_names())

    def start(self) -> Genome:
        """Return where a search begins: around the first source's own path."""
        return self._genes.start()

    def decode(self, genome: Genome) -> Recipe:
        """Return the recipe of a genome; values outside [0, 1] count as the nearest end, NaN as the middle."""
        if np.shape(genome) != (self.dim,):
            raise SpaceError(f"genome: expected shape ({self.dim},), found {np.shape(genome)}")
        steps, scales = self._genes.decode(np.asarray(genome, dtype=np.float64))
        return self._recipe(steps, scales, outside=self._outside)

    def encode(self, recipe: Recipe) -> Genome:
        """Return the genome of a recipe that decode yields; of others with such a path, that of the path."""
        if recipe.layers is None or any(len(sources) != 1 for sources in recipe.layers):
            raise SpaceError("layers: expected a recipe with one parent for each of its layers, found none or several")
        return self._genes.encode(steps_of(recipe), recipe.input_scales)

    def landmarks(self) -> list[Landmark]:
        """Return each parent alone, in the order of `parents`; layers are not merged here, so there is no mean."""
        return [
            Landmark(name, self._recipe([Step(name, k) for k in range(self._depths[name])], None, outside=name))
            for name in self._parents
        ]

    def _recipe(self, steps: Sequence[Step], scales: tuple[float, ...] | None, *, outside: str) -> Recipe:
        return Recipe(
            self._parents,
            self._base,
            (*silences(steps, self._outlets), *_passthrough_rules(steps), Rule("passthrough", (Input(outside),))),
            dtype=self._dtype,
            seed=self._seed,
            layers=tuple({step.source: step.layer} for step in steps),
            input_scales=scales,
            tokenizer=self._tokenizer,
        )


def silences(steps: Sequence[Step], outlets: Outlets, parent: str | None = None) -> list[Rule]:
    """Return the rules by which halves of steps write nothing; `parent` is one of what is merged."""
    return [
        silence(step.without, outlet, layer=k, parent=parent if parent and step.source == MERGED else step.source)
        for k, step in enumerate(steps)
        if step.without is not None
        for outlet in outlets[step.without]
    ]


def _passthrough_rules(steps: Sequence[Step]) -> list[Rule]:
    rules: list[Rule] = []
    first = 0
    for run in runs([Step(step.source, k) for k, step in enumerate(steps)]):
        rules.append(Rule("passthrough", (Input(run[0].source),), where=Where(layers=(first, first + len(run)))))
        first += len(run)
    return rules


def _check_names(parents: Mapping[str, ParentSource], named: Mapping[str, str], sources: Sequence[str]) -> None:
    for key, name in [*(("sources", name) for name in sources), *named.items()]:
        if name not in parents:
            raise SpaceError(f"{key}: expected one of {list(parents)}, found {name!r}")
    if len(set(sources)) < len(sources):
        raise SpaceError(f"sources: expected each once, found {list(sources)}")
