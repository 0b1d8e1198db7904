"""The plan of a weight space's decoding, made once: which gene has which value, and which rule has whose values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from search_spaces.operators.operator import Operator
from search_spaces.operators.scales import Options, Scale
from search_spaces.recipes.groups import Group
from search_spaces.spaces.genes import GeneInfo, Genes, Key

OPERATOR: Key = ("operator", None)


@dataclass(frozen=True)
class Method:
    """What decoding knows of an operator: where its parameters lie among a group's values."""

    name: str
    inputs: Mapping[str, Mapping[str, Key]]  # parent -> parameter -> its key
    own: Mapping[str, Key]  # the operator's own parameter -> its key
    divides: bool | Key  # whether it divides by the weights; a key where a flag decides
    divides_by_default: bool  # what holds where the flag has no value

    @staticmethod
    def of(operator: Operator, keys: Sequence[Key], merged: Sequence[str]) -> Method:
        """Return what is known of an operator whose groups have values of these keys."""
        flag = operator.divides_by_weights
        decided = flag in ("never", "always")
        return Method(
            operator.name,
            {parent: {n: (n, parent) for n in operator.input_parameters if (n, parent) in keys} for parent in merged},
            {name: (name, None) for name in operator.parameters if (name, None) in keys},
            flag == "always" if decided else (flag, None),
            not decided and operator.parameters[flag].default is True,
        )


def laid_out(
    varied: Genes, operators: Sequence[str], groups: Sequence[Group], operator_per: Literal["model", "group"]
) -> tuple[tuple[GeneInfo, ...], tuple[Scale, ...], tuple[dict[Key, int], ...]]:
    """Return what each gene means, its scale, and for each group which gene has the value of a key."""
    choice: dict[Key, Scale] = {OPERATOR: Options(tuple(operators))} if len(operators) > 1 else {}
    shared = {**(choice if operator_per == "model" else {}), **varied.model}
    own = {**(choice if operator_per == "group" else {}), **varied.group}
    genes: list[tuple[Key, Scale, Group | None]] = [(key, scale, None) for key, scale in shared.items()]
    slots = []
    for group in groups:
        slots.append(
            {key: gene for gene, key in enumerate(shared)} | {key: len(genes) + i for i, key in enumerate(own)}
        )
        genes += [(key, scale, group) for key, scale in own.items()]
    return tuple(_info(*gene) for gene in genes), tuple(scale for _, scale, _ in genes), tuple(slots)


def _info(key: Key, scale: Scale, group: Group | None) -> GeneInfo:
    layers, module, tensor = (None, None, None) if group is None else (group.layers, group.module, group.tensor)
    return GeneInfo(*key, layers, module, (scale.value(0.0), scale.value(1.0)), scale, tensor)
