"""The joint space: merge weights and search the path through the merged model and the parents, both at once."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import get_args

import numpy as np

from search_spaces.errors import SpaceError
from search_spaces.operators.recipe_facts import kinds_read
from search_spaces.recipes.groups import Group, Place, covers
from search_spaces.recipes.layer_path import MERGED, Step, is_silence, steps_of
from search_spaces.recipes.recipe import Recipe
from search_spaces.recipes.rule import Input, ModuleKind, Rule, Where
from search_spaces.spaces.flow import Flow
from search_spaces.spaces.genes import GeneInfo
from search_spaces.spaces.half_blocks import path_genes
from search_spaces.spaces.layer_flow import Outlets, silences
from search_spaces.spaces.space import Genome, Landmark, Structure
from search_spaces.spaces.weight_space import WeightSpace

_KINDS: tuple[ModuleKind, ...] = get_args(ModuleKind)


class JointSpace:
    """Recipes whose layers are a merge of all parents', or one parent's, in a new succession.

    A genome is float64 (dim,) in [0, 1]: the genes of a weight space, which make one virtual merged model, then those
    of a path (`FlowGenes`) through the layers of that model and of parents as they are. The hybrid of Akiba et al.
    2024 ("Evolutionary Optimization of Model Merging Recipes"), which searches the two one after the other. Where a
    merge depends on depth (LiNeS, layer_swap), it is a layer's depth in the path.
    """

    def __init__(
        self,
        weights: WeightSpace,
        *,
        n_layers: int,
        flow: Flow,
        sources: Sequence[str],
        embeddings_from: str = MERGED,
        outlets: Outlets = MappingProxyType({}),
    ) -> None:
        """Lay the genes out.

        Args:
            weights: the space of the merged model; its depth must be constant per block.
            n_layers: depth of every parent.
            flow: which paths.
            sources: what layers can be of, in the order in which they are laid out: "merged", and parents.
            embeddings_from: what gives embeddings, final norm and head: "merged" or a parent.
            outlets: as of `LayerFlowSpace`.

        Raises:
            SpaceError: an unknown source, a parent that is called "merged", or see `FlowGenes`.
        """
        self._weights, self._n_layers, self._outside, self._outlets = weights, n_layers, embeddings_from, outlets
        parents = weights.landmarks()[0].recipe.parents
        if MERGED in parents:
            raise SpaceError(f"parents: expected another name than {MERGED!r}, which the merged model has")
        for key, name in [("embeddings_from", embeddings_from), *(("sources", name) for name in sources)]:
            if name != MERGED and name not in parents:
                raise SpaceError(f"{key}: expected {MERGED!r} or one of {list(parents)}, found {name!r}")
        if len(set(sources)) < len(sources) or MERGED not in sources:
            raise SpaceError(f"sources: expected {MERGED!r} and parents, each once, found {list(sources)}")
        _check_constant(weights.groups, n_layers)
        self._path = path_genes(dict.fromkeys(sources, n_layers), flow)

    @property
    def dim(self) -> int:
        """Length of a genome."""
        return self._weights.dim + self._path.dim

    @property
    def structure(self) -> Structure:
        """Which genes are indicators, and what they govern; the genes of the merge count always."""
        merge, path, shift = self._weights.structure, self._path.structure, self._weights.dim
        return Structure(
            self.dim,
            tuple(shift + gene for gene in path.indicators),
            path.on,
            merge.choices,
            {shift + gene: shift + indicator for gene, indicator in path.under.items()},
            (*merge.groups, *(tuple(shift + gene for gene in group) for group in path.groups)),
        )

    def gene_names(self) -> list[GeneInfo]:
        """Return what each dimension means, in order."""
        return [*self._weights.gene_names(), *self._path.gene_names()]

    def start(self) -> Genome:
        """Return where a search begins: the middle of every range of the merge, and around its own path."""
        return np.concatenate([self._weights.start(), self._path.start()])

    def decode(self, genome: Genome) -> Recipe:
        """Return the recipe of a genome; values outside [0, 1] count as the nearest end, NaN as the middle."""
        if np.shape(genome) != (self.dim,):
            raise SpaceError(f"genome: expected shape ({self.dim},), found {np.shape(genome)}")
        genes = np.asarray(genome, dtype=np.float64)
        merge = self._weights.decode(genes[: self._weights.dim])
        steps, scales = self._path.decode(genes[self._weights.dim :])
        return self._recipe(merge, steps, scales, self._outside)

    def encode(self, recipe: Recipe) -> Genome:
        """Return the genome of a recipe that decode yields.

        Groups of layers that the path leaves out have the genes of another group; without any merged layer the
        merge's genes lie in the middle.
        """
        if recipe.layers is None:
            raise SpaceError("layers: expected a recipe with a path through the merged model and parents, found none")
        path = self._path.encode(steps_of(recipe), recipe.input_scales)
        merged = replace(recipe, rules=tuple(rule for rule in recipe.rules if not is_silence(rule)))
        return np.concatenate([self._merge_genes(merged), path])

    def landmarks(self) -> list[Landmark]:
        """Return each parent alone, the uniform mean and default TIES, as the weight space has them."""
        found = []
        for landmark in self._weights.landmarks():
            source = landmark.name if landmark.name in landmark.recipe.parents else MERGED
            steps = [Step(source, k) for k in range(self._n_layers)]
            found.append(Landmark(landmark.name, self._recipe(landmark.recipe, steps, None, source)))
        return found

    def _recipe(self, merge: Recipe, steps: Sequence[Step], scales: tuple[float, ...] | None, outside: str) -> Recipe:
        everyone = tuple(merge.parents)
        silent = silences(steps, self._outlets, everyone[0])
        rules = (*silent, *_layer_rules(merge, steps), *_outside_rules(merge, outside))
        return replace(
            merge,
            rules=rules,
            statistics=merge.statistics if kinds_read(rules) else {},
            layers=tuple(
                dict.fromkeys(everyone if step.source == MERGED else (step.source,), step.layer) for step in steps
            ),
            input_scales=scales,
        )

    def _merge_genes(self, recipe: Recipe) -> Genome:
        found = {group: self._rule_of(recipe, group) for group in self._weights.groups}
        known = [rule for rule in found.values() if rule is not None]
        if not known:
            return self._weights.start()
        rules = [
            replace(rule or known[0], where=Where(group.layers, None if group.module == "all" else group.module))
            for group, rule in found.items()
        ]
        return self._weights.encode(replace(recipe, rules=tuple(rules), layers=None, input_scales=None))

    def _rule_of(self, recipe: Recipe, group: Group) -> Rule | None:
        """Return the rule that a group's tensors are merged by, wherever one of them is; None where none is."""
        places = [
            replace(group.place, layer=k, side=None)
            for k, step in enumerate(steps_of(recipe))
            if step.source == MERGED and (group.layers is None or group.layers[0] <= step.layer < group.layers[1])
        ]
        if self._outside == MERGED:
            places += self._outside_places(group)
        return next((rule for place in places for rule in recipe.rules if covers(rule.where, place)), None)

    def _outside_places(self, group: Group) -> list[Place]:
        if group.module == "other":
            return [Place(None, "other", "after")]
        if group.module != "all" or group.layers is None:
            return []
        before = [Place(None, "other", "before")] if group.layers[0] == 0 else []
        after = [Place(None, "other", "after")] if group.layers[1] == self._n_layers else []
        return before + after


def _layer_rules(merge: Recipe, steps: Sequence[Step]) -> Iterator[Rule]:
    made = [_made(merge, step) for step in steps]
    for rules, stretch in itertools.groupby(range(len(steps)), key=lambda k: made[k]):
        layers = list(stretch)
        where = Where(layers=(layers[0], layers[-1] + 1))
        yield from (replace(rule, where=replace(where, module=module)) for module, rule in rules)


def _made(merge: Recipe, step: Step) -> list[tuple[ModuleKind | None, Rule]]:
    """Return how one layer is made: (kind of module; None for all of them, rule)."""
    if step.source != MERGED:
        return [(None, Rule("passthrough", (Input(step.source),)))]
    rules = [_rule_at(merge, Place(step.layer, kind)) for kind in _KINDS]
    return [(None, rules[0])] if all(rule == rules[0] for rule in rules) else list(zip(_KINDS, rules, strict=True))


def _outside_rules(merge: Recipe, outside: str) -> list[Rule]:
    """Return the rules of what lies before and after the layers; to come after those of all layers."""
    if outside != MERGED:
        return [Rule("passthrough", (Input(outside),))]
    before, after = (_rule_at(merge, Place(None, "other", side)) for side in ("before", "after"))
    if before == after:
        return [before]
    return [replace(before, where=Where(side="before")), replace(after, where=Where(side="after"))]


def _rule_at(merge: Recipe, place: Place) -> Rule:
    return replace(next(rule for rule in merge.rules if covers(rule.where, place)), where=Where())


def _check_constant(groups: Sequence[Group], n_layers: int) -> None:
    covered: Counter[str] = Counter()
    for group in groups:
        first, stop = group.layers or (0, n_layers)
        covered[group.module] += stop - first
    if any(total < n_layers for total in covered.values()):
        raise SpaceError(
            "groups.depth: expected constant in a joint space, found linear: a path that leaves out the layer "
            "of a knot would not tell the knot's genes"
        )
