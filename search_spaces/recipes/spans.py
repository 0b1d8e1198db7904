"""Which rules a layout of groups asks for: one per block, per layer or per tensor."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from search_spaces.recipes.groups import Group, Groups, blocks, knots, searched_stacks
from search_spaces.recipes.rule import Where


@dataclass(frozen=True)
class Span:
    """Output tensors that one rule makes, and the groups whose values it has."""

    where: Where
    left: int  # a group
    right: int  # the next knot where depth is linear, else the same group
    share: float = 0.0  # how far the tensors lie from the left knot to the right one, in [0, 1)


def spans(
    groups: Groups, laid: Sequence[Group], n_layers: int, stacks: Mapping[str, int] | None = None
) -> Iterator[Span]:
    """Yield the rules' places, kind of module by kind: one per block, or one per layer where depth is linear.

    Where a model has several stacks, each has these places, by its own depth; see `layout`. Of tensors the longest
    names come first: a name may be part of another, and the first rule that matches counts.
    """
    if groups.tensors:
        for i, group in sorted(enumerate(laid), key=lambda numbered: -len(numbered[1].tensor or "")):
            yield Span(Where(contains=(group.tensor or "",)), i, i)
        return
    searched = searched_stacks(groups, n_layers, stacks)
    only = groups.stack if len(searched) == 1 and None not in searched else None
    for module in groups.modules:
        own = [i for i, group in enumerate(laid) if group.module == module]
        if module == "other":
            yield Span(Where(module="other", stack=only), own[0], own[0])
            continue
        kind = None if module == "all" else laid[own[0]].place.module
        for stack, depth in searched.items():
            yield from _by_depth(groups, own, depth, Where(None, kind, stack=stack))
        if module == "all":
            yield Span(Where(side="before", stack=only), own[0], own[0])
            yield Span(Where(side="after", stack=only), own[-1], own[-1])


def _by_depth(groups: Groups, own: Sequence[int], depth: int, where: Where) -> Iterator[Span]:
    """Yield the places of one kind of module in one stack, given the groups that hold them."""
    if groups.depth == "constant" or len(own) == 1:
        for layers, i in zip(blocks(depth, len(own)), own, strict=True):
            if layers[0] < layers[1]:
                yield Span(replace(where, layers=layers), i, i)
        return
    at_layer = knots(depth, len(own))
    for layer in range(depth):
        at = min(bisect.bisect_right(at_layer, layer), len(at_layer) - 1)
        between = at_layer[at] - at_layer[at - 1]
        share = (layer - at_layer[at - 1]) / between if between else 1.0
        first = own[at - 1] if share < 1.0 else own[at]
        yield Span(replace(where, layers=(layer, layer + 1)), first, own[at], share % 1.0)
