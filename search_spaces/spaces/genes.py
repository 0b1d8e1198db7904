"""Which parameters of the operators a search varies, between which bounds, and which it holds fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from search_spaces.errors import SpaceError, few_of
from search_spaces.operators.operator import Operator
from search_spaces.operators.parameters import Bounds, Gene, Key, Kind
from search_spaces.operators.registry import nearest_name
from search_spaces.operators.scales import Linear, Scale
from search_spaces.recipes.recipe import layer_range
from search_spaces.recipes.rule import ModuleKind, Parameter
from search_spaces.spaces.soup_weights import SoupWeights

__all__ = ["Bounds", "Gene", "GeneInfo", "Genes", "Key", "kinds_of"]


@dataclass(frozen=True)
class GeneInfo:
    """What one dimension of a weight space means.

    Attributes:
        parameter: weight, density, lambda, t, ..., or "operator".
        parent: whose parameter it is; None for an operator's own.
        layers: half-open range of layers it holds for (linear depth: its knot's layer); None for the whole depth.
        module: the kind of module; "all"; None for what holds for the whole model.
        values: the values at gene 0 and gene 1.
        scale: gene -> value; None where a gene has no value of its own, such as an indicator of a path.
        tensor: the only tensor it holds for; None where it holds for a group.
    """

    parameter: str
    parent: str | None
    layers: tuple[int, int] | None
    module: ModuleKind | Literal["all"] | None
    values: tuple[Parameter, Parameter]
    scale: Scale | None = None
    tensor: str | None = None

    def __str__(self) -> str:
        if self.tensor is not None:
            return ", ".join(part for part in (self.parameter, self.parent, self.tensor) if part)
        layers = self.layers and layer_range(*self.layers)
        return ", ".join(part for part in (self.parameter, self.parent, self.module, layers) if part)

    @property
    def range(self) -> str:
        """The values in words."""
        ends = (f"{v:g}" if isinstance(v, float) else str(v).lower() for v in self.values)
        return " to ".join(ends)


@dataclass(frozen=True)
class Genes:
    """What a search varies and what it holds fixed."""

    model: Mapping[Key, Scale]  # scales of what has one gene for the whole model, in the order of the genes
    group: Mapping[Key, Scale]  # scales of what has one gene per group
    frozen: Mapping[Key, Parameter]  # values of what is fixed
    own: Mapping[
        str, Mapping[Key, Scale]
    ]  # operator -> what it reads a shared gene on, where that is a scale of its own

    @property
    def scales(self) -> dict[Key, Scale]:
        """Every scale."""
        return {**self.model, **self.group}

    @staticmethod
    def of(
        operators: Sequence[Operator],
        genes: Mapping[str, Gene | Mapping[str, Gene]],
        merged: Sequence[str],
        *,
        whole_model: Sequence[str] = (),
        soup: SoupWeights | None = None,
    ) -> Genes:
        """Return what `genes` says about the operators' parameters.

        Bounds or a list of choices make genes, a value freezes. What `genes` leaves out keeps the operator's default;
        a parameter without a default is searched between the operator's own bounds. Per-parent parameters have one
        gene for each merged parent, or what a mapping says of each. Operators that share a parameter's name share its
        gene and the first one's scale, unless `genes` has bounds under an operator's name: that one reads the gene
        between these. The weights of a soup have the soup's own coordinates.
        """
        kinds = kinds_of(operators)
        rows = {operator.name: operator for operator in operators}
        for name in (*genes, *whole_model):
            if name not in kinds and name not in rows:
                raise SpaceError(
                    f"genes: expected some of {few_of(sorted(kinds), name)} for {few_of([*rows], name)}, "
                    f"found {name!r}{nearest_name(name, kinds)}"
                )
        model: dict[Key, Scale] = {}
        group: dict[Key, Scale] = {}
        frozen: dict[Key, Parameter] = {}
        for name, kind in kinds.items():
            setting = genes.get(name, kind.gene if kind.default is None else None)
            scales = model if kind.whole_model or name in whole_model else group
            if soup is not None and name == "weight":
                scales.update(dict.fromkeys(soup.keys, Linear(*soup.bounds(genes.get(name)))))
                continue
            per_parent = any(name in operator.input_parameters for operator in operators)
            for key, gene in _by_key(name, setting, merged if per_parent else None).items():
                if isinstance(gene, bool | int | float | str):
                    frozen[key] = kind.checked(gene, f"genes.{name}")
                else:
                    scales[key] = kind.scale_of(gene, f"genes.{name}")
        own = {}
        for name, row in rows.items():
            bounds = genes.get(name, {})
            if not isinstance(bounds, Mapping):
                raise SpaceError(f"genes.{name}: expected parameters with bounds, found {bounds!r}")
            own[name] = _own_scales(row, bounds, {**model, **group})
        return Genes(model, group, frozen, {name: scales for name, scales in own.items() if scales})


def _own_scales(operator: Operator, bounds: Mapping[str, Gene], searched: Mapping[Key, Scale]) -> dict[Key, Scale]:
    """Return the scales that an operator has for itself of genes that it shares."""
    scales = {}
    for name, gene in bounds.items():
        keys, at = [key for key in searched if key[0] == name], f"genes.{operator.name}.{name}"
        if name not in operator.kinds or not keys:
            expected = sorted({parameter for parameter, _ in searched} & set(operator.kinds))
            raise SpaceError(f"{at}: expected one of the genes {expected}, found another")
        if not isinstance(gene, tuple):
            raise SpaceError(f"{at}: expected [low, high], found {gene!r}")
        scales.update(dict.fromkeys(keys, operator.kinds[name].scale_of(gene, at)))
    return scales


def kinds_of(operators: Sequence[Operator]) -> dict[str, Kind]:
    """Return the parameters' kinds; where operators differ, the first that has no default, else the first."""
    kinds: dict[str, Kind] = {}
    for operator in operators:
        for name, kind in operator.kinds.items():
            if name not in kinds or (kind.default is None and kinds[name].default is not None):
                kinds[name] = kind
    return kinds


def _by_key(name: str, setting: Gene | Mapping[str, Gene] | None, parents: Sequence[str] | None) -> dict[Key, Gene]:
    if setting is None:
        return {}
    if not isinstance(setting, Mapping):
        return dict.fromkeys([(name, parent) for parent in parents or (None,)], setting)
    if parents is None or set(setting) != set(parents):
        expected = "one value, as it is no parent's own" if parents is None else f"a value for each of {list(parents)}"
        raise SpaceError(f"genes.{name}: expected {expected}, found {dict(setting)}")
    return {(name, parent): setting[parent] for parent in parents}
