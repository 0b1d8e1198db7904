"""Which parameters of the operators a search varies, between which bounds, and which it holds fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from search_spaces.errors import SpaceError
from search_spaces.operators.registry import Operator, nearest_name
from search_spaces.recipe import ModuleKind, layer_range
from search_spaces.scales import Linear, Quantised

Bounds = tuple[float, float]
Key = tuple[str, str | None]  # parameter, and parent or None for the operator's own


@dataclass(frozen=True)
class GeneInfo:
    """What one dimension of a weight space means.

    Attributes:
        parameter: weight, density, lambda, t, ..., or "operator".
        parent: whose parameter it is; None for an operator's own.
        layers: half-open range of layers it holds for (linear depth: its knot's layer); None for the whole depth.
        module: the kind of module; "all"; None for the operator gene.
        values: the values at gene 0 and gene 1; for the operator gene, indices.
    """

    parameter: str
    parent: str | None
    layers: tuple[int, int] | None
    module: ModuleKind | Literal["all"] | None
    values: Bounds

    def __str__(self) -> str:
        layers = self.layers and layer_range(*self.layers)
        return ", ".join(part for part in (self.parameter, self.parent, self.module, layers) if part)


def scales_and_frozen(
    operators: Sequence[Operator], genes: Mapping[str, Bounds | float], merged: Sequence[str]
) -> tuple[dict[Key, Linear | Quantised], dict[Key, float]]:
    """Return the scale of everything that has a gene, in the order of the genes, and the values of what is frozen.

    Bounds make genes, a number freezes. What `genes` leaves out keeps the operator's default; a parameter without a
    default is searched between the operator's own bounds. Per-parent parameters have one gene for each merged parent.

    Raises:
        SpaceError: a gene that no operator has, bounds that are no range, or a density outside (0, 1].
    """
    known = {name: bounds for operator in operators for name, bounds in operator.genes.items()}
    for name in genes:
        if name not in known:
            raise SpaceError(
                f"genes: expected some of {sorted(known)} for {', '.join(o.name for o in operators)}, "
                f"found {name!r}{nearest_name(name, known)}"
            )
    required = {n for o in operators for n, d in {**o.input_parameters, **o.parameters}.items() if d is None}
    scales: dict[Key, Linear | Quantised] = {}
    frozen: dict[Key, float] = {}
    for name, default_bounds in known.items():
        setting = genes.get(name, default_bounds if name in required else None)
        per_parent = any(name in operator.input_parameters for operator in operators)
        keys: list[Key] = [(name, parent) for parent in (merged if per_parent else (None,))]
        if isinstance(setting, int | float):
            frozen.update(dict.fromkeys(keys, float(setting)))
        elif setting is not None:
            scales.update(dict.fromkeys(keys, _scale(name, setting)))
    return scales, frozen


def _scale(name: str, bounds: Bounds) -> Linear | Quantised:
    if len(bounds) != 2:
        raise SpaceError(f"genes.{name}: expected [low, high] or a number, found {list(bounds)}")
    low, high = map(float, bounds)
    if name == "density" and not 0.0 < low <= high <= 1.0:
        raise SpaceError(f"genes.density: expected bounds within (0, 1], found [{low}, {high}]")
    try:
        return Quantised(low, high) if name == "density" else Linear(low, high)
    except SpaceError as error:
        raise SpaceError(f"genes.{name}: {error}") from error
