"""The order in which a model's floating-point parameters are flattened, and where they may be split."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import SpaceError
from search_spaces.recipes.groups import NORM, locate

Split = Literal["param", "tensor", "layer", "none"]

_SIDES = {"before": 0, None: 1, "after": 2}


@dataclass(frozen=True)
class FlatLayout:
    """Where each tensor lies among the flattened parameters."""

    names: tuple[str, ...]  # the tensors, in order
    sizes: tuple[int, ...]  # how many parameters each has, at least 1

    @staticmethod
    def of_checkpoint(sizes: Mapping[str, int]) -> FlatLayout:
        """Return the order of a language model's tensors, given name -> number of parameters.

        It is: what lies before the layers (embeddings), the layers in order, the final norm, the head; within each of
        these by name. It does not depend on how the checkpoint is cut into files.
        """
        names = sorted((name for name, size in sizes.items() if size), key=_place)
        return FlatLayout(tuple(names), tuple(sizes[name] for name in names))

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """(n_tensors + 1,): where each tensor begins, and at the end the number of all parameters."""
        return np.array(list(itertools.accumulate(self.sizes, initial=0)), dtype=np.int64)

    @property
    def size(self) -> int:
        """The number of flattened parameters."""
        return int(self.starts[-1])

    def split_points(self, split: Split) -> Sequence[int]:
        """Return where a split may fall, 0 (everything lies behind it) always among them.

        Args:
            split: "param": before any parameter; "tensor": before any tensor; "layer": before any layer, what lies
                before or after the layers counting as one each; "none": nowhere else.
        """
        if split == "none":
            return [0]
        if split == "param":
            return range(self.size)
        if split == "tensor":
            return list(map(int, self.starts[:-1]))
        if split != "layer":
            raise SpaceError(f"split: expected one of param, tensor, layer or none, found {split!r}")
        places = [(locate(name).side, locate(name).layer) for name in self.names]
        firsts = [i for i, place in enumerate(places) if i == 0 or place != places[i - 1]]
        return list(map(int, self.starts[firsts]))


def _place(name: str) -> tuple[int, int, str]:
    place = locate(name)
    depth = place.layer if place.layer is not None else not NORM.search(name.lower())
    return _SIDES[place.side], int(depth), name
