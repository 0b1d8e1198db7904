"""A recipe: the complete, frozen description of one merged model.

A recipe knows nothing of genomes or search spaces. It names its parents and lists rules; the first rule whose
`Where` matches an output tensor says which operator makes that tensor from which parents. It is JSON both ways and
has a digest, so that it can cross a process border, lie in an archive, and be told from every other recipe.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from search_spaces.errors import SpaceError

ExportDtype = Literal["float32", "bfloat16", "float16"]
ModuleKind = Literal["attention", "mlp", "other"]
Side = Literal["before", "after"]
Parameter = float | bool | str


@dataclass(frozen=True)
class ParentSource:
    """Where a parent's weights come from.

    Attributes:
        model: a directory or a hub id.
        revision: the hub revision to pin; None for a directory or the default branch.
    """

    model: str
    revision: str | None = None


@dataclass(frozen=True)
class Where:
    """Which output tensors a rule applies to; every condition that is set must hold.

    Attributes:
        layers: half-open range [first, last) of output layers; None matches any tensor, in a layer or not.
        module: the module kind found from the tensor's name (`search_spaces.groups.module_kind`).
        contains: parts of the tensor's name, all of which it has (mergekit's `filter`).
        side: outside the layers, before them (embeddings) or after them (final norm, head); matches no layer's tensor.
    """

    layers: tuple[int, int] | None = None
    module: ModuleKind | None = None
    contains: tuple[str, ...] | None = None
    side: Side | None = None


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


@dataclass(frozen=True)
class Recipe:
    """One merged model.

    Attributes:
        parents: name -> source of every checkpoint that is read, the base included.
        base: the parent that task vectors are taken from, and that donates config, tokenizer and buffers.
        rules: the first rule that matches a tensor makes it; a tensor that none matches is an error.
        dtype: what `merged_tensor` rounds to, once, after float32 arithmetic.
        seed: seeds random masks together with operator, parent and tensor name.
        layers: the output model's layers, each a map parent name -> that parent's layer; None keeps the base's own
            layers (layer k is layer k of every parent).
    """

    parents: Mapping[str, ParentSource]
    base: str
    rules: tuple[Rule, ...]
    dtype: ExportDtype = "bfloat16"
    seed: int = 0
    layers: tuple[Mapping[str, int], ...] | None = None

    def __post_init__(self) -> None:
        """Check that every parent a rule names exists.

        Raises:
            SpaceError: an unknown parent, dtype, or no rule at all.
        """
        if not self.rules:
            raise SpaceError("rules: expected at least one rule, found none")
        if self.dtype not in get_args(ExportDtype):
            raise SpaceError(f"dtype: expected one of {get_args(ExportDtype)}, found {self.dtype!r}")
        named = [i.parent for rule in self.rules for i in rule.inputs] + [self.base]
        for name in named:
            if name not in self.parents:
                raise SpaceError(f"parents: expected one of {sorted(self.parents)}, found {name!r}")

    @property
    def digest(self) -> str:
        """Return 64 hex digits that are equal exactly when two recipes describe the same merge."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Return the canonical, compact JSON form; fields at their default are left out."""
        return json.dumps(self.to_dict(), separators=(",", ":"), ensure_ascii=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data in canonical order."""
        data: dict[str, Any] = {
            "parents": {
                name: {"model": s.model, **({"revision": s.revision} if s.revision else {})}
                for name, s in self.parents.items()
            },
            "base": self.base,
            "dtype": self.dtype,
            "seed": self.seed,
            "rules": [_rule_to_dict(rule) for rule in self.rules],
        }
        if self.layers is not None:
            data["layers"] = [dict(sources) for sources in self.layers]
        return data

    @staticmethod
    def from_json(text: str) -> Recipe:
        """Read what `to_json` wrote.

        Raises:
            SpaceError: the text is not a recipe; the message names the key.
        """
        try:
            return Recipe.from_dict(json.loads(text))
        except json.JSONDecodeError as error:
            raise SpaceError(f"recipe: expected JSON, found an error at line {error.lineno}: {error.msg}") from error

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Recipe:
        """Read what `to_dict` returned.

        Raises:
            SpaceError: a key is missing or has the wrong type.
        """
        try:
            return Recipe(
                parents={n: ParentSource(s["model"], s.get("revision")) for n, s in data["parents"].items()},
                base=data["base"],
                rules=tuple(_rule_from_dict(rule) for rule in data["rules"]),
                dtype=data.get("dtype", "bfloat16"),
                seed=data.get("seed", 0),
                layers=None if data.get("layers") is None else tuple(dict(s) for s in data["layers"]),
            )
        except KeyError as error:
            raise SpaceError(f"recipe: expected the key {error.args[0]!r}, found none") from error
        except (TypeError, AttributeError) as error:
            raise SpaceError(f"recipe: expected the form that `evomerge pareto --json` prints ({error})") from error


def layer_range(first: int, stop: int) -> str:
    """Return a half-open range of layers in words."""
    return f"layer {first}" if stop - first == 1 else f"layers {first} to {stop - 1}"


def _rule_to_dict(rule: Rule) -> dict[str, Any]:
    data: dict[str, Any] = {
        "operator": rule.operator,
        "inputs": [{"parent": i.parent, **dict(sorted(i.parameters.items()))} for i in rule.inputs],
    }
    if rule.parameters:
        data["parameters"] = dict(sorted(rule.parameters.items()))
    where = {k: v for k, v in vars(rule.where).items() if v is not None}
    if where:
        data["where"] = where
    return data


def _rule_from_dict(data: Mapping[str, Any]) -> Rule:
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
