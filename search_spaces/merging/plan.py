"""How a recipe makes each tensor of the merged model; reads no weights."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import torch

from search_spaces.errors import SpaceError
from search_spaces.layers.folding import Fold
from search_spaces.layers.scale_folding import layer_folds
from search_spaces.layers.sources import donor, output_architecture, source_name
from search_spaces.merging.piecewise import Piece, TensorPieces
from search_spaces.merging.recent import Recent
from search_spaces.operators.registry import check_rule, find_operator
from search_spaces.parents.parents import Parents
from search_spaces.recipes.groups import Place, covers
from search_spaces.recipes.recipe import Recipe
from search_spaces.recipes.rule import Rule, Side
from search_spaces.statistics.store import together


@dataclass(frozen=True, slots=True)
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


class Origins:
    """What output tensors are made from, remembered between recipes that differ in their parameters only.

    One object serves one set of opened parents.
    """

    def __init__(self) -> None:
        self._known: Recent[dict[str, Any]] = Recent(_MOST_ORIGINS)

    def of(self, recipe: Recipe, what: Hashable) -> dict[str, Any]:
        """Return a dictionary from tensors to something of them that `what` names, the same for such recipes."""
        return {} if recipe.layers is not None else self._known.get((recipe.base, what), dict)


# Combinations of parents that rules name, for each of which every tensor's sources are kept.
_MOST_ORIGINS = 8


def plan_tensor(recipe: Recipe, parents: Parents, name: str) -> TensorPlan:
    """Return how a recipe makes one output tensor."""
    return plan_tensors(recipe, parents, [name])[name]


def plan_tensors(
    recipe: Recipe, parents: Parents, names: Iterable[str], *, origins: Origins | None = None
) -> dict[str, TensorPlan]:
    """Return how a recipe makes some output tensors, by name; see `plan_tensor`."""
    planner = _Planner(recipe, parents, Origins() if origins is None else origins)
    return {name: planner.plan(name) for name in names}


class _Original(NamedTuple):
    """The tensor that an output tensor is called after."""

    source: tuple[str, str]  # (parent, tensor)
    shape: tuple[int, ...]
    dtype: torch.dtype  # as stored
    place: Place  # of the output tensor
    layer: tuple[int, int] | None  # see `TensorPlan`


# Of a tensor; see `TensorPlan`.
_Sources: TypeAlias = tuple[tuple[tuple[str, str], ...], tuple[str, str] | None]


class _Made(NamedTuple):
    """What makes the output tensors of a rule, or of all pieces."""

    rule: Rule | None  # defaults filled in; None for pieces
    sources: dict[str, _Sources]
    parents: tuple[str, ...]  # of the inputs
    reads_base: bool
    statistics: tuple[str, ...]


class _Planner:
    def __init__(self, recipe: Recipe, parents: Parents, origins: Origins) -> None:
        self._recipe, self._parents, self._origins = recipe, parents, origins
        self._originals: dict[str, _Original] = origins.of(recipe, "original")
        self._pieces = None if recipe.pieces is None else TensorPieces(recipe.pieces, parents, recipe.base)
        self._folds = layer_folds(recipe, parents)
        self._architecture = output_architecture(recipe, parents)
        self._dtype = _dtype(recipe.dtype)
        self._made: dict[int, _Made] = {}  # by the rule's number
        self._covering: dict[Place, list[int]] = {}  # the numbers of rules that speak of a place

    def plan(self, name: str) -> TensorPlan:
        recipe = self._recipe
        original = self._originals.get(name) or self._original(name)
        if not original.dtype.is_floating_point:
            return TensorPlan(name, None, (), original.source, original.shape, original.dtype, recipe.seed)
        pieces = None if self._pieces is None else self._pieces.of(name)
        made = self._made_by_pieces() if pieces is not None else self._made_by_rule(name, original.place)
        sources, base = made.sources.get(name) or self._sources(name, original.shape, made)
        return TensorPlan(
            name,
            made.rule,
            sources,
            base,
            original.shape,
            self._dtype,
            recipe.seed,
            original.layer,
            original.place.side,
            self._folds[name] if pieces is None else None,
            pieces,
            made.statistics,
        )

    def _original(self, name: str) -> _Original:
        place = self._architecture.locate(name)
        parent = donor(self._recipe, place.layer if self._architecture.in_main(place) else None)
        source = source_name(self._recipe, self._parents, name, parent)
        checkpoint = self._parents[parent]
        self._originals[name] = found = _Original(
            (parent, source), checkpoint.shape(source), checkpoint.dtype(source), place, self._layer(place)
        )
        return found

    def _made_by_pieces(self) -> _Made:
        if 0 not in self._made:
            assert self._recipe.pieces is not None
            parents = tuple(self._recipe.pieces.parents)
            self._made[0] = _Made(None, self._origins.of(self._recipe, (parents, False)), parents, False, ())
        return self._made[0]

    def _made_by_rule(self, name: str, place: Place) -> _Made:
        rules = self._recipe.rules
        if place not in self._covering:
            # Where output layers are other layers, rules that name no stack speak of them: other stacks are like what
            # comes before them.
            whole = self._recipe.layers is None or self._architecture.of_main(place)
            moved = place if whole else Place(None, place.module, "before", place.stack)
            seen = [moved if rule.where.stack is None else place for rule in rules]
            self._covering[place] = [i for i, rule in enumerate(rules) if covers(rule.where, seen[i])]
        for i in self._covering[place]:
            if all(part in name for part in rules[i].where.contains or ()):
                return self._made.get(i) or self._made_by(i)
        raise SpaceError(f"rules: expected one that matches the tensor {name}, found none; add a rule without `where`")

    def _made_by(self, number: int) -> _Made:
        rule = check_rule(self._recipe.rules[number])
        parents = tuple(i.parent for i in rule.inputs)
        reads_base = find_operator(rule.operator).reads_base(rule.parameters)
        sources = self._origins.of(self._recipe, (parents, reads_base))
        self._made[number] = made = _Made(rule, sources, parents, reads_base, self._statistics(rule))
        return made

    def _sources(self, name: str, shape: tuple[int, ...], made: _Made) -> _Sources:
        recipe = self._recipe

        def source(parent: str) -> tuple[str, str]:
            return parent, source_name(recipe, self._parents, name, parent)

        sources = tuple(source(parent) for parent in made.parents)
        base = source(recipe.base) if made.reads_base else None
        for parent, tensor in (*sources, *([base] if base else [])):
            found = self._parents[parent].shape(tensor)
            if found != shape:
                raise SpaceError(f"{name}: expected the shape {shape}, found {found} in {tensor} of parent {parent!r}")
        made.sources[name] = sources, base
        return sources, base

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
