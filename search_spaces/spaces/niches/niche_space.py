"""The space of M2N2: every individual over the parents, as a recipe of pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from search_spaces.errors import SpaceError
from search_spaces.merging.piecewise import flat_layout
from search_spaces.parents.parents import Parents
from search_spaces.recipes.flat_layout import Split
from search_spaces.recipes.pieces import Pieces
from search_spaces.recipes.recipe import ExportDtype, OutputTokenizer, ParentSource, Recipe
from search_spaces.recipes.rule import Rule
from search_spaces.spaces.genes import GeneInfo
from search_spaces.spaces.niches.crossover import Angle, Crossover, GramMatrices
from search_spaces.spaces.niches.gain import GainedCrossover, first_individuals, gained
from search_spaces.spaces.niches.individual import Individual
from search_spaces.spaces.niches.rank_scaled import OPERATOR, RankScaled
from search_spaces.spaces.space import Landmark, weight_landmarks

if TYPE_CHECKING:
    from torch import Tensor


class NicheSpace:
    """Recipes that are individuals: piecewise-constant linear combinations of all parents.

    The base is not among the combined parents (unless `merge_base`); it gives config and tokenizer. Individuals with a
    gain (`gain`) are combinations of the base, which comes first, and the parents.

    Args:
        parents: opened; their weights are read once, at the first crossover.
        base: the name of the parent that donates config and tokenizer.
        merge_base: whether it is one of the models to merge.
        dtype: what recipes are rounded to.

    Raises:
        SpaceError: fewer than two models to merge, or they do not have the same floating-point tensors and shapes.
    """

    def __init__(self, parents: Parents, base: str, *, merge_base: bool, dtype: ExportDtype) -> None:
        self._parents, self._base, self._dtype = parents, base, dtype
        self._merged = tuple(name for name in parents.checkpoints if name != base or merge_base)
        if len(self._merged) < 2:
            raise SpaceError(f"parents: expected at least two models to merge, found {list(self._merged)}")
        names = self._merged if base in self._merged else (base, *self._merged)
        self._combined = {
            len(self._merged): self._merged,
            len(names): names,
        }  # by their number: without a gain, with one
        self._layout = flat_layout(parents, base)
        self._check_shapes()

    @property
    def merged(self) -> tuple[str, ...]:
        """Names of the combined parents, without the base."""
        return self._merged

    @cached_property
    def grams(self) -> GramMatrices:
        """The inner products of the combined parents."""
        return GramMatrices(self._layout, len(self._merged), self._read)

    def crossover(self, split: Split, angle: Angle) -> Crossover:
        """Return how individuals of this space make children; see `Crossover`."""
        return Crossover(self.grams, split, angle)

    def gained_crossover(
        self, split: Split, angle: Angle, gains: tuple[float, float], *, known: Sequence[Individual] = ()
    ) -> GainedCrossover:
        """Return how individuals with a gain make children, and the first of them that are not known yet."""
        if self._base in self._merged:
            raise SpaceError("gain: expected a base, which task vectors begin at, found none; add the key base")
        crossover = self.crossover(split, angle)
        first = tuple(dict.fromkeys(first_individuals(crossover.seeds, gains)))
        seeds = tuple(seed for seed in first if seed not in known)
        return GainedCrossover(crossover, seeds or first[-1:], gains)

    def decode(self, genome: Individual | RankScaled) -> Recipe:
        """Return the recipe of an individual."""
        if isinstance(genome, RankScaled):
            return self._recipe([genome.rule(self._merged)])
        combined = self._combined.get(genome.n_parents)
        if combined is None or genome.size != self._layout.size:
            expected = f"an individual of {len(self._merged)} parents and {self._layout.size} parameters"
            raise SpaceError(f"genome: expected {expected}, found {genome.n_parents} and {genome.size}")
        rows = tuple(tuple(row) for row in genome.coefficients.tolist())
        return self._recipe((), Pieces(combined, tuple(genome.boundaries.tolist()), rows))

    def encode(self, recipe: Recipe) -> Individual | RankScaled:
        """Return the individual of a recipe that decode yields."""
        pieces = recipe.pieces
        if len(recipe.rules) == 1 and recipe.rules[0].operator == OPERATOR:
            return RankScaled.of_rule(recipe.rules[0], self._merged)
        if pieces is None or pieces.parents not in self._combined.values():
            found = "rules" if pieces is None else list(pieces.parents)
            raise SpaceError(f"pieces: expected some of the parents {list(self._merged)}, found {found}")
        return Individual(np.array(pieces.boundaries), np.array(pieces.coefficients))

    @property
    def base(self) -> str | None:
        """Name of what task vectors begin at; None where it is merged as the parents are."""
        return None if self._base in self._merged else self._base

    def individual_of(self, shares: Mapping[str, float]) -> Individual:
        """Return the individual with a gain that is θ₀ + Σ share·(θ_k - θ₀) everywhere; of parents by name.

        Raises:
            SpaceError: a parent that is none, or shares whose sum, the gain, is not above 0.
        """
        total = sum(shares.values())
        if not set(shares) <= set(self._merged) or total <= 0.0 or self._base in self._merged:
            raise SpaceError(f"shares: expected some of {list(self._merged)} with a sum above 0, found {dict(shares)}")
        row = np.array([[shares.get(name, 0.0) / total for name in self._merged]])
        return gained(Individual(np.array([0, self._layout.size]), row), total)

    def landmarks(self) -> list[Landmark]:
        """Return each parent alone (the base among them), the uniform mean, and default TIES where there is a base.

        See `WeightSpace.landmarks`.
        """
        has_base = self._base not in self._merged
        return weight_landmarks(self._parents.checkpoints, self._merged, self._recipe, has_base=has_base)

    def gene_names(self) -> list[GeneInfo]:
        """Return nothing: an individual has no fixed genes."""
        return []

    def _read(self, i: int) -> list[Tensor]:
        name = self._layout.names[i]
        return [self._parents[parent].tensor(name).reshape(-1) for parent in self._merged]

    def _recipe(self, rules: Sequence[Rule], pieces: Pieces | None = None) -> Recipe:
        sources: Mapping[str, ParentSource] = {n: c.source for n, c in self._parents.checkpoints.items()}
        tokenizer: OutputTokenizer = self._parents.tokenizer
        more: dict[str, Any] = {"dtype": self._dtype, "tokenizer": tokenizer, "pieces": pieces}
        return Recipe(sources, self._base, tuple(rules), **more)

    def _check_shapes(self) -> None:
        base = self._parents[self._base]
        for parent in self._merged:
            checkpoint = self._parents[parent]
            for name in self._layout.names:
                found = checkpoint.shape(name) if name in checkpoint else "none"
                if found != base.shape(name):
                    raise SpaceError(f"parent {parent!r}: expected {name} of shape {base.shape(name)}, found {found}")
