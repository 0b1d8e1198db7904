"""A recipe: the complete, frozen description of one merged model.

A recipe knows nothing of genomes or search spaces. It names its parents and lists rules; the first rule whose
`Where` matches an output tensor says which operator makes that tensor from which parents. It is JSON both ways and
has a digest, so that it can cross a process border, lie in an archive, and be told from every other recipe.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

from search_spaces.errors import SpaceError
from search_spaces.recipes.pieces import Pieces
from search_spaces.recipes.rule import Rule, expect_keys

ExportDtype = Literal["float32", "bfloat16", "float16"]

# Beside the weights of an exported merge.
RECIPE_FILE = "recipe.json"

_KEYS = (
    *("parents", "base", "rules", "dtype", "seed"),
    *("layers", "input_scales", "tokenizer", "pieces", "statistics"),
)

# What `OutputTokenizer.source` may be besides a parent's name.
TOKENIZER_SOURCES = ("base", "union")


@dataclass(frozen=True)
class ParentSource:
    """Where a parent's weights come from.

    Attributes:
        model: a directory or a hub id; of a LoRA adapter too, whose config then names the model under it.
        revision: the hub revision to pin; None for a directory or the default branch.
        adapter: a LoRA adapter on the model, directory or hub id.
        adapter_revision: like `revision`, of the adapter.
    """

    model: str
    revision: str | None = None
    adapter: str | None = None
    adapter_revision: str | None = None

    @property
    def reference(self) -> str:
        """The source in one line, as mergekit writes it: model@revision+adapter@revision."""
        text = f"{self.model}@{self.revision}" if self.revision else self.model
        if self.adapter is None:
            return text
        return f"{text}+{self.adapter}" + (f"@{self.adapter_revision}" if self.adapter_revision else "")


@dataclass(frozen=True)
class OutputTokenizer:
    """The merged model's tokenizer, and with it the rows of its embedding and head.

    Attributes:
        source: None: all parents share the base's vocabulary, row by row. "base", or the name of another parent: its
            tokenizer, and every parent's rows are found by token. "union": the base's tokens, then all the others'.
        multiple_of: the embedding's rows are rounded up to a multiple of it (a source other than None only).
        chat_template: Jinja text; "auto" for the one that most parents have; None for that of the tokenizer's source.
    """

    source: str | None = None
    multiple_of: int = 1
    chat_template: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.multiple_of, int) or self.multiple_of < 1:
            raise SpaceError(f"tokenizer.multiple_of: expected a whole number above 0, found {self.multiple_of!r}")


SHARED_VOCABULARY = OutputTokenizer()


@dataclass(frozen=True)
class Recipe:
    """One merged model.

    Attributes:
        parents: name -> source of every checkpoint that is read, the base included.
        base: the parent that task vectors are taken from, and that donates config, tokenizer and buffers.
        rules: the first rule that matches a tensor makes it; a tensor that none matches is an error. Empty with
            `pieces`.
        dtype: what `merged_tensor` rounds to, once, after float32 arithmetic.
        seed: seeds random masks together with operator, parent and tensor name.
        layers: the output model's layers, each a map parent name -> that parent's layer; None keeps the base's own
            layers (layer k is layer k of every parent).
        input_scales: one positive number per output layer, which the hidden state is multiplied by on entering that
            layer; None multiplies nothing. It needs `layers`.
        tokenizer: which tokens the output model has.
        pieces: a linear combination of parents that makes every floating-point tensor, in place of rules: there are
            none then, and no `layers`.
        statistics: parent -> digest of what it computed on prompts (`statistics.store`), for operators that read it.
    """

    parents: Mapping[str, ParentSource]
    base: str
    rules: tuple[Rule, ...]
    dtype: ExportDtype = "bfloat16"
    seed: int = 0
    layers: tuple[Mapping[str, int], ...] | None = None
    input_scales: tuple[float, ...] | None = None
    tokenizer: OutputTokenizer = SHARED_VOCABULARY
    pieces: Pieces | None = None
    statistics: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.rules and self.pieces is None:
            raise SpaceError("rules: expected at least one rule, found none")
        if self.pieces is not None and (self.rules or self.layers is not None):
            raise SpaceError("pieces: expected neither rules nor layers beside them, found some; leave one out")
        if self.dtype not in get_args(ExportDtype):
            raise SpaceError(f"dtype: expected one of {get_args(ExportDtype)}, found {self.dtype!r}")
        named = [i.parent for rule in self.rules for i in rule.inputs] + [self.base]
        named += list(self.statistics)
        named += [] if self.pieces is None else self.pieces.parents
        named += [] if self.tokenizer.source in (None, *TOKENIZER_SOURCES) else [self.tokenizer.source]
        for name in named:
            if name not in self.parents:
                raise SpaceError(f"parents: expected one of {sorted(self.parents)}, found {name!r}")
        if self.input_scales is not None:
            _check_input_scales(self.input_scales, self.layers)

    @cached_property
    def digest(self) -> str:
        """Return 64 hex digits that are equal exactly when two recipes describe the same merge."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Return the canonical, compact JSON form; fields at their default are left out."""
        return self._json

    @cached_property
    def _json(self) -> str:  # its digest and its archive row are made of it, one after the other
        return json.dumps(self.to_dict(), separators=(",", ":"), ensure_ascii=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data in canonical order."""
        data: dict[str, Any] = {
            "parents": {n: {k: v for k, v in vars(s).items() if v} for n, s in self.parents.items()},
            "base": self.base,
            "dtype": self.dtype,
            "seed": self.seed,
            "rules": [_rule_to_dict(rule) for rule in self.rules],
        }
        if self.layers is not None:
            data["layers"] = [dict(sources) for sources in self.layers]
        if self.input_scales is not None:
            data["input_scales"] = list(self.input_scales)
        if self.pieces is not None:
            data["pieces"] = self.pieces.to_dict()
        if self.tokenizer != SHARED_VOCABULARY:
            data["tokenizer"] = {k: v for k, v in vars(self.tokenizer).items() if v not in (None, 1)}
        if self.statistics:
            data["statistics"] = dict(sorted(self.statistics.items()))
        return data

    @staticmethod
    def from_json(text: str) -> Recipe:
        """Read what `to_json` wrote.

        Raises:
            SpaceError: the text is not a recipe; the message names the key.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise SpaceError(f"recipe: expected JSON, found an error at line {error.lineno}: {error.msg}") from error
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, or thousands of brackets
            raise SpaceError(f"recipe: expected JSON, found what cannot be read: {error}") from error
        return Recipe.from_dict(data)

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Recipe:
        """Read what `to_dict` returned.

        Raises:
            SpaceError: a key is missing or has the wrong type.
        """
        try:
            expect_keys(data, _KEYS, "recipe")
            return Recipe(
                parents={n: _parent_from_dict(s) for n, s in data["parents"].items()},
                base=data["base"],
                rules=tuple(Rule.from_dict(rule) for rule in data["rules"]),
                dtype=data.get("dtype", "bfloat16"),
                seed=data.get("seed", 0),
                layers=None if data.get("layers") is None else tuple(dict(s) for s in data["layers"]),
                input_scales=None if data.get("input_scales") is None else tuple(data["input_scales"]),
                tokenizer=OutputTokenizer(**data.get("tokenizer", {})),
                pieces=None if data.get("pieces") is None else Pieces.from_dict(data["pieces"]),
                statistics=dict(data.get("statistics", {})),
            )
        except KeyError as error:
            raise SpaceError(f"recipe: expected the key {error.args[0]!r}, found none") from error
        except (TypeError, AttributeError) as error:
            raise SpaceError(f"recipe: expected the form that `evomerge pareto --json` prints ({error})") from error


def layer_range(first: int, stop: int) -> str:
    """Return a half-open range of layers in words."""
    return f"layer {first}" if stop - first == 1 else f"layers {first} to {stop - 1}"


def _check_input_scales(scales: tuple[float, ...], layers: tuple[Mapping[str, int], ...] | None) -> None:
    if layers is None:
        raise SpaceError("input_scales: expected none without `layers`, which says what they scale; add `layers`")
    if len(scales) != len(layers):
        raise SpaceError(f"input_scales: expected one per output layer, {len(layers)}, found {len(scales)}")
    for step, scale in enumerate(scales):
        number = isinstance(scale, int | float) and not isinstance(scale, bool)
        if not (number and math.isfinite(scale) and scale > 0):
            raise SpaceError(f"input_scales[{step}]: expected a finite number above 0, found {scale!r}")


def _parent_from_dict(data: Mapping[str, Any]) -> ParentSource:
    return ParentSource(**{"model": data["model"], **data})


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
