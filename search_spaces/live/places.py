"""Which coefficients of a linear merge belong to which tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from search_spaces.architecture.architecture import Architecture
from search_spaces.errors import SpaceError
from search_spaces.recipes.groups import Group, Groups, layout, matches
from search_spaces.recipes.recipe import layer_range
from search_spaces.recipes.rule import Where
from search_spaces.recipes.spans import spans

Per = Literal["model", "group", "tensor", "column"]


@dataclass(frozen=True)
class Reach:
    """Tensors with the same coefficients: on the straight line between two places, or those of one place."""

    where: Where
    left: int  # a place
    right: int  # the next knot's where depth is linear, else the same place
    share: float  # how far from the left place to the right one, in [0, 1)


@dataclass(frozen=True)
class Places:
    """Where the coefficients of a linear merge lie; each parent has one for every place.

    Attributes:
        per: "model": one place. "group": one for each of `layout(groups)`, in its order. "tensor": one for each
            floating point tensor, in the checkpoint's order. "column": one for each element of a tensor's last axis (a
            linear layer's inputs), tensor after tensor; tensors of fewer than two axes have one.
        reaches: the tensors of each place, the first that matches counts; none per column.
        of: tensor -> its places, each with its share: (first, stop, share). What is left out has none.
        names: of the places, without columns: the model, the groups, or the tensors.
        count: how many places there are.
    """

    per: Per
    reaches: tuple[Reach, ...]
    of: Mapping[str, tuple[tuple[int, int, float], ...]]
    names: tuple[str, ...]
    count: int

    @staticmethod
    def laid_out(per: Per, shapes: Mapping[str, tuple[int, ...]], groups: Groups, architecture: Architecture) -> Places:
        """Lay the places of a model out.

        Args:
            per: what has coefficients of its own.
            shapes: floating point tensor -> its shape.
            groups: which tensors share coefficients, for "group"; elsewhere they count for nothing.
            architecture: the model's.

        Raises:
            SpaceError: `per` is none of the four, or no tensor is in a group.
        """
        if per not in get_args(Per):
            raise SpaceError(f"per: expected one of {list(get_args(Per))}, found {per!r}")
        if per == "column":
            return _by_column(shapes)
        if per == "group":
            depth, stacks = architecture.depth, architecture.depths
            laid = layout(groups, depth, stacks)
            reaches = [Reach(s.where, s.left, s.right, s.share) for s in spans(groups, laid, depth, stacks)]
            names = [_group_name(group) for group in laid]
        elif per == "tensor":
            # Longest first: a name may be a part of another's, and the first rule that matches makes a tensor.
            order = sorted(enumerate(shapes), key=lambda numbered: -len(numbered[1]))
            reaches = [Reach(Where(contains=(name,)), i, i, 0.0) for i, name in order]
            names = list(shapes)
        else:
            reaches, names = [Reach(Where(), 0, 0, 0.0)], ["model"]
        found = _reached(per, reaches, shapes, architecture)
        if not found:
            raise SpaceError(f"groups: expected some that hold a tensor, found none in {groups}")
        return Places(per, tuple(reaches), found, tuple(names), len(names))


def _reached(
    per: Per, reaches: Sequence[Reach], shapes: Mapping[str, tuple[int, ...]], architecture: Architecture
) -> dict[str, tuple[tuple[int, int, float], ...]]:
    if per == "tensor":
        return {name: ((i, i + 1, 1.0),) for i, name in enumerate(shapes)}
    found = {}
    for name in shapes:
        reach = next((r for r in reaches if matches(r.where, name, architecture.locate(name))), None)
        if reach is not None:
            both = ((reach.left, 1.0 - reach.share), (reach.right, reach.share))
            found[name] = tuple((place, place + 1, share) for place, share in both if share)
    return found


def _by_column(shapes: Mapping[str, tuple[int, ...]]) -> Places:
    of, start = {}, 0
    for name, shape in shapes.items():
        stop = start + (shape[-1] if len(shape) > 1 else 1)
        of[name] = ((start, stop, 1.0),)
        start = stop
    return Places("column", (), of, tuple(shapes), start)


def _group_name(group: Group) -> str:
    return group.module if group.layers is None else f"{group.module} {layer_range(*group.layers)}"
