"""How a recipe makes each tensor of the merged model; reads no weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from search_spaces.errors import SpaceError
from search_spaces.layers.folding import Fold
from search_spaces.layers.scale_folding import layer_folds
from search_spaces.layers.sources import donor, output_architecture, source_name
from search_spaces.merging.piecewise import Piece, TensorPieces
from search_spaces.operators.registry import check_rule, find_operator
from search_spaces.parents.parents import Parents
from search_spaces.recipes.groups import Place, matches
from search_spaces.recipes.recipe import Recipe, Rule, Side
from search_spaces.statistics.store import together


@dataclass(frozen=True)
class TensorPlan:
    """Everything that the value of one output tensor depends on, given the parents: equal plans, equal tensors."""

    name: str  # the output tensor
    # the rule that makes it, defaults filled in; None with `pieces`, or to copy `base`, which is not floating point
    rule: Rule | None
    sources: tuple[tuple[str, str], ...]  # per input of the rule, or per parent of the pieces, (parent, tensor)
    # (parent, tensor) of the base, or of the donor of a copied buffer; None if the operator needs none
    base: tuple[str, str] | None
    shape: tuple[int, ...]  # of the output and of all that it is made from
    dtype: torch.dtype  # what it is rounded to
    seed: int  # the recipe's
    # (index of the output layer, number of output layers); None outside the layers
    layer: tuple[int, int] | None = None
    side: Side | None = None  # outside the layers, before or after them
    fold: Fold | None = None  # what is done to the merged tensor, in float32, so that the layers need no input scales
    pieces: tuple[Piece, ...] | None = None  # what is combined, part by part; None where a rule makes the tensor
    # per input of the rule, the digest of its parent's statistics; then that of all parents' together; empty where the
    # operator reads none
    statistics: tuple[str, ...] = ()

    def mask_seed(self, i: int) -> int:
        """Return the 64-bit seed of the i-th input's random mask: independent of the order of tensors and layers."""
        assert self.rule is not None
        words = (str(self.seed), self.rule.operator, *self.sources[i])
        return int.from_bytes(hashlib.sha256("\0".join(words).encode()).digest()[:8], "big")


def plan_tensor(recipe: Recipe, parents: Parents, name: str) -> TensorPlan:
    """Return how a recipe makes one output tensor."""
    return plan_tensors(recipe, parents, [name])[name]


def plan_tensors(recipe: Recipe, parents: Parents, names: Iterable[str]) -> dict[str, TensorPlan]:
    """Return how a recipe makes some output tensors, by name; see `plan_tensor`."""
    planner = _Planner(recipe, parents)
    return {name: planner.plan(name) for name in names}


class _Planner:
    def __init__(self, recipe: Recipe, parents: Parents) -> None:
        self._recipe, self._parents = recipe, parents
        self._checked: dict[int, Rule] = {}
        self._pieces = None if recipe.pieces is None else TensorPieces(recipe.pieces, parents, recipe.base)
        self._folds = layer_folds(recipe, parents)
        self._architecture = output_architecture(recipe, parents)

    def plan(self, name: str) -> TensorPlan:
        recipe, parents = self._recipe, self._parents
        place = self._architecture.locate(name)
        origin = donor(recipe, place.layer if self._architecture.in_main(place) else None)
        original = (origin, source_name(recipe, parents, name, origin))
        stored, shape = parents[origin].dtype(original[1]), parents[origin].shape(original[1])
        if not stored.is_floating_point:
            return TensorPlan(name, None, (), original, shape, stored, recipe.seed)
        dtype, layer = _dtype(recipe.dtype), self._layer(place)
        if self._pieces is not None:
            sources = self._pieces.sources(name)
            self._check_shapes(name, shape, sources)
            pieces = self._pieces.of(name)
            return TensorPlan(name, None, sources, None, shape, dtype, recipe.seed, layer, place.side, pieces=pieces)
        rule = self._rule(name, place)
        sources = tuple((i.parent, source_name(recipe, parents, name, i.parent)) for i in rule.inputs)
        base = None
        if find_operator(rule.operator).reads_base(rule.parameters):
            base = (recipe.base, source_name(recipe, parents, name, recipe.base))
        self._check_shapes(name, shape, (*sources, *([base] if base else [])))
        read = self._statistics(rule)
        return TensorPlan(
            name, rule, sources, base, shape, dtype, recipe.seed, layer, place.side, self._folds[name], statistics=read
        )

    def _statistics(self, rule: Rule) -> tuple[str, ...]:
        if not find_operator(rule.operator).statistics:
            return ()
        known = self._recipe.statistics
        missing = [i.parent for i in rule.inputs if i.parent not in known]
        if missing:
            raise SpaceError(
                f"{rule.operator}: expected statistics of every parent, found none of {missing[0]!r}; in mergekit's "
                "YAML write `statistics: {tasks: [a.jsonl]}`; a campaign collects them by itself"
            )
        return (*(known[i.parent] for i in rule.inputs), together(known.values()))

    def _check_shapes(self, name: str, shape: tuple[int, ...], sources: tuple[tuple[str, str], ...]) -> None:
        for parent, source in sources:
            found = self._parents[parent].shape(source)
            if found != shape:
                raise SpaceError(f"{name}: expected the shape {shape}, found {found} in {source} of parent {parent!r}")

    def _rule(self, name: str, place: Place) -> Rule:
        # Where output layers are other layers, rules that name no stack speak of them: other stacks are like what comes
        # before them.
        whole = self._recipe.layers is None or self._architecture.of_main(place)
        moved = place if whole else Place(None, place.module, "before", place.stack)
        for i, rule in enumerate(self._recipe.rules):
            if matches(rule.where, name, moved if rule.where.stack is None else place):
                if i not in self._checked:
                    self._checked[i] = check_rule(rule)
                return self._checked[i]
        raise SpaceError(f"rules: expected one that matches the tensor {name}, found none; add a rule without `where`")

    def _layer(self, place: Place) -> tuple[int, int] | None:
        """Return the layer's number in its stack, and how many there are."""
        if place.layer is None:
            return None
        architecture, layers = self._architecture, self._recipe.layers
        if layers is not None and architecture.in_main(place):
            return place.layer, len(layers)
        return place.layer, architecture.depths.get(place.stack, architecture.depth)


def _dtype(name: str) -> torch.dtype:
    found = getattr(torch, name)
    assert isinstance(found, torch.dtype)
    return found
