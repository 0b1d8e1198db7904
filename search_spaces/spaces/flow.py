"""Which paths through the layers of several models are searched, and the genes that stand for such a path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from functools import cached_property
from typing import TYPE_CHECKING

from search_spaces.errors import SpaceError
from search_spaces.operators.scales import Log, clipped
from search_spaces.recipes.layer_path import Step
from search_spaces.spaces.genes import GeneInfo
from search_spaces.spaces.space import OFF, ON, Structure

if TYPE_CHECKING:  # a campaign file is read without numpy
    import numpy as np
    from numpy.typing import NDArray

# Folded weights are rounded once more than those that were scored, and the difference grows as the product S of the
# scales leaves 1: on SmolLM2-135M in float32 the logits differ by a relative 4e-5 inside these bounds, 3e-4 at 0.002.
SAFE_PRODUCT = (0.25, 4.0)


@dataclass(frozen=True)
class Flow:
    """Which paths are searched.

    The sources' layers lie in a list, one source after another in order of depth, and the whole list `repeats` times;
    a path runs some of them in the order of the list (Akiba et al. 2024, "Evolutionary Optimization of Model Merging
    Recipes", data flow space).

    Attributes:
        repeats: how often the list is laid out.
        window: how many places of the list a layer can move, earlier or later; 0 keeps the order.
        scales: bounds of the factor on the hidden state when it enters a layer, 1 between them; None scales nothing.
        product: bounds that the product of all factors so far is kept in, inside [0.25, 4].
        max_depth: steps of the longest path, frozen ones included; None: as long as the list.
        frozen_prefix: how many layers of `frozen_from` every path begins with. Those layers of every source are
            outside the list.
        frozen_suffix: how many layers of `frozen_from` every path ends with, likewise.
        frozen_from: a source; None: the first.
        halves: whether attention and MLP of a layer are in or out each by itself (`half_blocks`).
    """

    repeats: int = 1
    window: int = 0
    scales: tuple[float, float] | None = None
    product: tuple[float, float] = SAFE_PRODUCT
    max_depth: int | None = None
    frozen_prefix: int = 0
    frozen_suffix: int = 0
    frozen_from: str | None = None
    halves: bool = False

    def __post_init__(self) -> None:
        least = {"repeats": 1, "window": 0, "frozen_prefix": 0, "frozen_suffix": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise SpaceError(f"{name}: expected at least {low}, found {getattr(self, name)}")
        if self.scales is not None and not (0 < self.scales[0] <= 1 <= self.scales[1] and Log(*self.scales)):
            raise SpaceError(f"scales: expected [low, high] with 0 < low <= 1 <= high, found {list(self.scales)}")
        if not SAFE_PRODUCT[0] <= self.product[0] <= 1 <= self.product[1] <= SAFE_PRODUCT[1]:
            raise SpaceError(
                f"scale_product: expected bounds inside {list(SAFE_PRODUCT)} with 1 between them, found "
                f"{list(self.product)}; beyond, rounding would make the export differ from what was scored"
            )


# Two standard deviations of CMA-ES's usual start away from the threshold: 98 % of the first samples fall on that side.
LIKELY = 1 / 3


@dataclass(frozen=True)
class FlowGenes:
    """The genes of a path: inclusion of every layer in the list, then their scales, then their order, where searched.

    - A layer is in above 0.5. Of more than `max_depth` the highest genes stay, of equals the earlier in the list; of
      none (and nothing frozen) the highest gene's layer is in: every path has a layer.
    - Layers are run in the order of place + (window + 1)·gene, so that none moves more than `window` places.
    - Scales are on a logarithmic scale. Step by step, each is kept where the product so far stays within its bounds.
    """

    depths: Mapping[str, int]  # source -> number of layers, in the order of the list
    flow: Flow  # which paths

    def __post_init__(self) -> None:
        flow, frozen = self.flow, self.flow.frozen_prefix + self.flow.frozen_suffix
        if not self.depths:
            raise SpaceError("sources: expected at least one, found none")
        if flow.frozen_from is not None and flow.frozen_from not in self.depths:
            raise SpaceError(f"frozen_from: expected one of {list(self.depths)}, found {flow.frozen_from!r}")
        shallow = next((name for name, depth in self.depths.items() if depth <= frozen), None)
        if shallow is not None:
            raise SpaceError(
                f"frozen_prefix and frozen_suffix: expected fewer than {shallow!r} has layers, {self.depths[shallow]}, "
                f"found {flow.frozen_prefix} + {flow.frozen_suffix}: nothing of it would be left to search"
            )
        if flow.max_depth is not None and flow.max_depth <= frozen:
            raise SpaceError(f"max_depth: expected more than the {frozen} frozen layers, found {flow.max_depth}")

    @cached_property
    def places(self) -> tuple[Step, ...]:
        """The list of layers, without the frozen ones."""
        prefix, suffix = self.flow.frozen_prefix, self.flow.frozen_suffix
        once = [Step(name, k) for name, depth in self.depths.items() for k in range(prefix, depth - suffix)]
        return tuple(once * self.flow.repeats)

    @property
    def dim(self) -> int:
        """Number of genes."""
        return len(self.places) * (1 + (self.flow.scales is not None) + (self.flow.window > 0))

    @property
    def structure(self) -> Structure:
        """Which genes are indicators, and what they govern; a place's genes belong together."""
        n = len(self.places)
        under = {gene: gene % n for gene in range(n, self.dim)}
        groups = tuple(tuple(range(place, self.dim, n)) for place in range(n))
        return Structure(self.dim, tuple(range(n)), (self._least, self._most), under=under, groups=groups)

    def gene_names(self) -> Iterator[GeneInfo]:
        """Yield what each gene means, in order."""
        once = len(self.places) // self.flow.repeats
        values: dict[str, tuple[float | str, float | str]] = {"include": ("out", "in")}
        if self.flow.scales is not None:
            values["input scale"] = self.flow.scales
        if self.flow.window:
            values["order"] = ("earlier", "later")
        for parameter, ends in values.items():
            for i, step in enumerate(self.places):
                name = parameter if self.flow.repeats == 1 else f"{parameter} (pass {i // once + 1})"
                yield GeneInfo(name, step.source, (step.layer, step.layer + 1), None, ends)

    def start(self) -> NDArray[np.float64]:
        """Return the genes around which a search begins: the first source's first pass likely in, all else likely out.

        The paper moves the first pass by two standard deviations only; with all else on the threshold the first
        candidates would be half as deep as the list is long.
        """
        first = next(iter(self.depths))
        once = len(self.places) // self.flow.repeats
        genes = self._neutral()
        genes[: len(self.places)] = 0.5 - LIKELY
        genes[[i for i in range(once) if self.places[i].source == first]] = 0.5 + LIKELY
        return genes

    def decode(self, genes: NDArray[np.float64]) -> tuple[list[Step], tuple[float, ...] | None]:
        """Return the steps, and their scales; None when all are 1."""
        scale_genes, _ = self._parts([clipped(float(gene)) for gene in genes])
        order = self.order(genes)
        steps = [*self._prefix, *(self.places[i] for i in order), *self._suffix]
        if not scale_genes:
            return steps, None
        scales = [1.0] * len(self._prefix) + self._bounded(scale_genes[i] for i in order) + [1.0] * len(self._suffix)
        return steps, None if set(scales) == {1.0} else tuple(scales)

    def order(self, genes: NDArray[np.float64]) -> list[int]:
        """Return the places in the list that a path runs, in its order; those of frozen layers are in none."""
        values = [clipped(float(gene)) for gene in genes]
        (_, keys), span = self._parts(values), self.flow.window + 1
        included = self._included(values[: len(self.places)])
        return sorted(included, key=lambda i: (i + span * keys[i] if keys else i, i))

    def encode(self, steps: Sequence[Step], scales: Sequence[float] | None) -> NDArray[np.float64]:
        """Return the genes of a path; those of layers that are out are neutral."""
        order, middle = self.placed(steps), slice(len(self._prefix), len(steps) - len(self._suffix))
        genes, n = self._neutral(), len(self.places)
        genes[order] = ON
        if self.flow.scales is not None and scales is not None:
            scale = Log(*self.flow.scales)
            genes[[n + i for i in order]] = [scale.gene(value) for value in scales[middle]]
        if self.flow.window:
            genes[[self.dim - n + i for i in order]] = _keys(order, self.flow.window)
        return genes

    def placed(self, steps: Sequence[Step]) -> list[int]:
        """Return the place in the list of every step that is not frozen.

        Raises:
            SpaceError: there is no such path.
        """
        stop = len(steps) - len(self._suffix)
        if list(steps[: len(self._prefix)]) != self._prefix or list(steps[max(stop, 0) :]) != self._suffix:
            raise SpaceError("layers: expected the frozen layers at both ends, found others")
        if self.flow.max_depth is not None and len(steps) > self.flow.max_depth:
            raise SpaceError(f"layers: expected at most max_depth = {self.flow.max_depth}, found {len(steps)}")
        return self._places_of(steps[len(self._prefix) : stop])

    @property
    def _prefix(self) -> list[Step]:
        return [Step(self._frozen_from, k) for k in range(self.flow.frozen_prefix)]

    @property
    def _suffix(self) -> list[Step]:
        depth = self.depths[self._frozen_from]
        return [Step(self._frozen_from, k) for k in range(depth - self.flow.frozen_suffix, depth)]

    @property
    def _frozen_from(self) -> str:
        return self.flow.frozen_from or next(iter(self.depths))

    @property
    def _least(self) -> int:
        return 0 if self.flow.frozen_prefix + self.flow.frozen_suffix else 1

    @property
    def _most(self) -> int:
        frozen, n = self.flow.frozen_prefix + self.flow.frozen_suffix, len(self.places)
        return n if self.flow.max_depth is None else min(n, self.flow.max_depth - frozen)

    def _parts(self, values: list[float]) -> tuple[list[float], list[float]]:
        n = len(self.places)
        return values[n : 2 * n] if self.flow.scales is not None else [], values[-n:] if self.flow.window else []

    def _neutral(self) -> NDArray[np.float64]:
        """Return genes with every layer out, scales 1 and the order of the list."""
        import numpy as np

        n = len(self.places)
        genes = np.full(self.dim, 0.5)
        genes[:n] = OFF
        if self.flow.scales is not None:
            genes[n : 2 * n] = Log(*self.flow.scales).gene(1.0)
        return genes

    def _included(self, values: list[float]) -> list[int]:
        by_value = sorted(range(len(values)), key=lambda i: (-values[i], i))
        on = sum(value > 0.5 for value in values)
        return by_value[: min(max(on, self._least), self._most)]

    def _bounded(self, genes: Iterator[float]) -> list[float]:
        assert self.flow.scales is not None
        scale, (low, high) = Log(*self.flow.scales), self.flow.product
        scales, product = [], 1.0
        for gene in genes:
            least = min(1.0, _rounded(low / product, ROUND_CEILING))
            most = max(1.0, _rounded(high / product, ROUND_FLOOR))
            scales.append(min(max(scale.value(gene), least), most))
            product *= scales[-1]
        return scales

    def _places_of(self, steps: Sequence[Step]) -> list[int]:
        """Return a place in the list for every step, such that none moves more than `window` places.

        The earliest place that is left is always the best: it hinders later steps least, and equal layers never need
        to change places.
        """
        found: list[int] = []
        last: dict[Step, int] = {}
        reached = 0
        for step in steps:
            first = max(last.get(step, -1) + 1, reached - self.flow.window)
            place = next((i for i in range(first, len(self.places)) if self.places[i] == step), None)
            if place is None:
                raise SpaceError(
                    f"layers: expected paths in the order of the list (repeats {self.flow.repeats}, window "
                    f"{self.flow.window}), found layer {step.layer} of {step.source!r} as step {len(found)} of them"
                )
            found.append(place)
            last[step], reached = place, max(reached, place)
        return found


def _rounded(value: float, rounding: str) -> float:
    return float(Context(prec=7, rounding=rounding).create_decimal_from_float(value))


def _keys(order: Sequence[int], window: int) -> list[float]:
    """Return genes that bring places into an order in which no two are more than `window` from theirs.

    Half-way between the highest place so far and the lowest to come, places ascend, and are at most window/2 from
    their own; what is left of (window + 1)/2 tells equals apart.
    """
    import numpy as np

    highest = np.maximum.accumulate(order) if order else np.empty(0)
    lowest = np.minimum.accumulate(order[::-1])[::-1] if order else np.empty(0)
    keys: list[float] = []
    before = -np.inf
    for place, target in zip(order, (highest + lowest) / 2, strict=True):
        before = max(float(target), before + 0.4 / len(order))
        keys.append(0.5 + (before - place) / (window + 1))
    return keys
