"""A rule of a recipe: how some of the output's tensors are made, of which parents."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from search_spaces.errors import SpaceError, did_you_mean, shortened

ModuleKind = Literal["attention", "mlp", "other"]
Side = Literal["before", "after"]
Parameter = float | bool | str

_KEYS = ("operator", "inputs", "parameters", "where")


@dataclass(frozen=True)
class Where:
    """Which output tensors a rule applies to; every condition that is set must hold.

    Attributes:
        layers: half-open range [first, last) of output layers; None matches any tensor, in a layer or not.
        module: the module kind found from the tensor's name (`groups.locate`).
        contains: parts of the tensor's name, all of which it has (mergekit's `filter`).
        side: outside the layers, before them (embeddings) or after them (final norm, head); matches no layer's tensor.
        stack: what belongs to the stack of this name, of a model that has several (`architecture.Stack`).
    """

    layers: tuple[int, int] | None = None
    module: ModuleKind | None = None
    contains: tuple[str, ...] | None = None
    side: Side | None = None
    stack: str | None = None


@dataclass(frozen=True)
class Input:
    """One parent's part in a rule.

    Attributes:
        parent: a name in `Recipe.parents`.
        parameters: the operator's per-parent parameters, e.g. weight and density.
    """

    parent: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """How the tensors that match `where` are made.

    Attributes:
        operator: a name in the operator registry.
        inputs: the parents that are merged, in order (slerp: the first is t = 0). The recipe's base is not listed
            unless it is merged as a parent of its own.
        parameters: the operator's own parameters, e.g. lambda, normalize, t.
        where: the tensors it applies to.
    """

    operator: str
    inputs: tuple[Input, ...]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    where: Where = Where()

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Rule:
        """Read a rule of `Recipe.to_dict`; a SpaceError, KeyError or TypeError where it is of another form."""
        expect_keys(data, _KEYS, "rules")
        where = dict(data.get("where", {}))
        if where.get("layers") is not None:
            first, last = where["layers"]
            where["layers"] = (int(first), int(last))
        if isinstance(where.get("contains"), str | list | tuple):
            where["contains"] = (where["contains"],) if isinstance(where["contains"], str) else tuple(where["contains"])
        return Rule(
            operator=data["operator"],
            inputs=tuple(Input(i["parent"], {k: v for k, v in i.items() if k != "parent"}) for i in data["inputs"]),
            parameters=dict(data.get("parameters", {})),
            where=Where(**where),
        )


def expect_keys(data: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Refuse what would be left out of the merge: a key that was misspelt, or one of a newer evomerge."""
    if isinstance(data, Mapping) and (unknown := [key for key in data if key not in known]):
        found = shortened(repr(unknown[0]), 60)
        hint = did_you_mean(unknown[0], known, "did a newer evomerge write it?")
        raise SpaceError(f"{where}: expected keys among {', '.join(known)}, found {found}; {hint}")
