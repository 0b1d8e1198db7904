"""A recipe as a mergekit configuration, where mergekit can do the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from search_spaces.errors import SpaceError
from search_spaces.layers.folding import Fold
from search_spaces.layers.scale_folding import layer_folds
from search_spaces.layers.sources import output_architecture, output_names
from search_spaces.mergekit.document import INT8_MASK
from search_spaces.mergekit.tokenizer import tokenizer_keys
from search_spaces.merging.piecewise import Piece, TensorPieces, flat_layout
from search_spaces.operators.operator import Operator
from search_spaces.operators.registry import check_rule, find_operator
from search_spaces.parents.parents import Parents
from search_spaces.recipes.groups import locate, matches
from search_spaces.recipes.recipe import Input, Parameter, Recipe, Rule, Where

DELTAS = "deltas"  # said by giving a base_model
Decisions = list[tuple[str | None, Rule]]  # (filter; None matches the rest, rule), first match first


@dataclass(frozen=True)
class _Run:
    """Consecutive output layers that are made alike from consecutive layers of each parent."""

    first: int
    last: int
    sources: Mapping[str, int]  # parent -> its layer in the run's first layer
    # tensor name -> rule, of all its layers; in the first and last run also what lies before or after
    rules: Mapping[str, Rule]


def to_mergekit(recipe: Recipe) -> str:
    """Return a mergekit configuration for the same merge.

    Rules for layers or kinds of modules are written as slices and filters, for which the parents are opened (their
    headers only) to learn the tensors' names. Parents that are not merged have no place in mergekit's file: for linear
    and passthrough merges a base of that sort is left out, and mergekit takes the config from the first model.

    Raises:
        SpaceError: mergekit has no way to say it (the message gives the reason), or a parent cannot be opened.
    """
    recipe = _with_rules(recipe)
    rules = tuple(_as_mergekit(rule, recipe) for rule in recipe.rules)
    operator = rules[0].operator
    needs_base = find_operator(operator).reads_base(check_rule(recipe.rules[0]).parameters)
    data: dict[str, Any] = {"merge_method": operator}
    if needs_base or operator == "slerp":
        data["base_model"] = _model(recipe, recipe.base if needs_base else rules[0].inputs[0].parent)
    everywhere = _plain_decisions(rules) if recipe.layers is None else None
    runs = [] if everywhere else _runs(recipe, rules)
    if len(runs) == 1 and recipe.layers is None:
        everywhere = _decisions(runs[0].rules)
    if everywhere:
        data["models"] = [_source(recipe, everywhere, i) for i in range(len(everywhere[0][1].inputs))]
        own = _own_parameters(everywhere)
        data |= {"parameters": own} if own else {}
    else:
        data["slices"] = [_slice(recipe, run, data.get("base_model")) for run in runs]
    data |= {"dtype": "float32", "out_dtype": recipe.dtype}
    return yaml.safe_dump(data | tokenizer_keys(recipe.tokenizer, lambda p: _model(recipe, p)), sort_keys=False)


def _as_mergekit(rule: Rule, recipe: Recipe) -> Rule:
    """Return a checked rule of the recipe's one operator, with mergekit's form of `rescale`."""
    main = recipe.rules[0]
    alone = rule.operator == "passthrough" and rule.inputs == (Input(recipe.base),)
    if alone and find_operator(main.operator).needs_base:
        # mergekit has one method per file; task vectors of weight 0 leave the base itself.
        unweighted = tuple(Input(i.parent, {"weight": 0.0}) for i in main.inputs)
        rule = Rule(main.operator, unweighted, main.parameters, rule.where)
    if rule.operator != main.operator:
        found = sorted({r.operator for r in recipe.rules})
        raise SpaceError(f"operator: mergekit has one merge_method per file, found {found}")
    rule, operator = check_rule(rule), find_operator(rule.operator)
    if not operator.in_mergekit:
        raise SpaceError(f"operator: mergekit has no merge_method of this kind, found {operator.name!r}")
    if rule.parameters.get("rescale") == "density":
        raise SpaceError("rescale: mergekit restores the L1 norm (l1) or does not rescale (none), found density")
    if operator.needs_base and recipe.base in {i.parent for i in rule.inputs}:
        raise SpaceError(f"inputs: mergekit never merges the base itself, found {recipe.base!r}")
    inputs = tuple(Input(i.parent, _mergekits(i.parameters, operator)) for i in rule.inputs)
    own = {n: v == "l1" if n == "rescale" else v for n, v in rule.parameters.items() if n != INT8_MASK}
    return Rule(rule.operator, inputs, _mergekits(own, operator), rule.where)


def _mergekits(values: Mapping[str, Parameter], operator: Operator) -> dict[str, Parameter]:
    """Return the parameters that mergekit has; the others must be what mergekit's method amounts to."""
    for name, value in values.items():
        implied = operator.mergekit_defaults.get(name, operator.kinds[name].default)
        if not operator.kinds[name].in_mergekit and name != DELTAS and value != implied:
            raise SpaceError(f"{name}: mergekit has no such parameter, and amounts to {implied!r}, found {value!r}")
    return {name: value for name, value in values.items() if operator.kinds[name].in_mergekit}


def _plain_decisions(rules: Sequence[Rule]) -> Decisions | None:
    """Return the rules as filters, or None if they speak of layers or modules."""
    decisions: Decisions = []
    for rule in rules:
        where = rule.where
        if where.layers or where.module or where.side or where.stack is not None or len(where.contains or ()) > 1:
            return None
        decisions.append((where.contains[0] if where.contains else None, rule))
        if not where.contains:
            return decisions if _same_parents([rule for _, rule in decisions]) else None
    return None


def _runs(recipe: Recipe, rules: Sequence[Rule]) -> list[_Run]:
    parents = Parents.of(recipe)
    folds = layer_folds(recipe, parents)
    architecture = output_architecture(recipe, parents)
    made: dict[str, Rule] = {}
    for name in output_names(recipe, parents):
        rule = next((rule for rule in rules if matches(rule.where, name, architecture.locate(name))), None)
        if rule is None:
            raise SpaceError(f"rules: expected one that matches the tensor {name}, found none")
        made[name] = _folded(Rule(rule.operator, rule.inputs, rule.parameters), folds[name])
    runs: list[_Run] = []
    for layer, own in _by_layer(made):
        layers = recipe.layers[layer] if recipe.layers else dict.fromkeys(recipe.parents, layer)
        if runs and _continues(runs[-1], layers, own):
            runs[-1] = replace(runs[-1], last=layer + 1, rules={**runs[-1].rules, **own})
        else:
            runs.append(_Run(layer, layer + 1, dict(layers), own))
    for at, side in ((0, "before"), (-1, "after")):
        outside = {name: rule for name, rule in made.items() if locate(name).side == side}
        runs[at] = replace(runs[at], rules={**runs[at].rules, **outside})
    for run in runs:
        if not _same_parents(list(run.rules.values())):
            raise SpaceError(
                f"rules: mergekit merges the same models throughout a slice, found others in layers {run.first} to "
                f"{run.last - 1} or beside them"
            )
    return runs


def _folded(rule: Rule, fold: Fold | None) -> Rule:
    if fold is None:
        return rule
    if rule.operator != "passthrough" or fold.zero:
        raise SpaceError(
            "input_scales: mergekit scales tensors of a passthrough merge only, and around 0; found "
            f"{rule.operator}, around {fold.zero:g}; leave them out, or use the recipe itself"
        )
    [source] = rule.inputs
    scale = float(source.parameters.get("scale", 1.0)) * fold.factor
    return replace(rule, inputs=(replace(source, parameters={**source.parameters, "scale": scale}),))


def _by_layer(made: Mapping[str, Rule]) -> Iterator[tuple[int, dict[str, Rule]]]:
    layers: dict[int, dict[str, Rule]] = {}
    for name, rule in made.items():
        layer = locate(name).layer
        if layer is not None:
            layers.setdefault(layer, {})[name] = rule
    yield from sorted(layers.items())


def _continues(run: _Run, layers: Mapping[str, int], own: Mapping[str, Rule]) -> bool:
    shift = run.last - run.first
    before = {_within_layer(name): rule for name, rule in run.rules.items() if locate(name).layer == run.first}
    return before == {_within_layer(name): rule for name, rule in own.items()} and run.sources == {
        parent: layer - shift for parent, layer in layers.items()
    }


def _within_layer(name: str) -> str:
    """Return what follows the layer's number in a name, the whole name outside layers."""
    place = locate(name)
    return name if place.layer is None else name.split(f".{place.layer}.", 1)[1]


def _same_parents(rules: Sequence[Rule]) -> bool:
    return len({tuple(i.parent for i in rule.inputs) for rule in rules}) == 1


def _decisions(rules: Mapping[str, Rule]) -> Decisions:
    """Return filters that tell the names' rules apart; the most frequent rule takes what no filter matches."""
    keys = {name: repr(rule) for name, rule in rules.items()}
    usual = Counter(keys.values()).most_common(1)[0][0]
    decisions: Decisions = []
    left = [name for name in rules if keys[name] != usual]
    while left:
        part, covered = max(
            ((part, [n for n in left if part in n]) for part in _parts(left[0], keys)), key=lambda found: len(found[1])
        )
        decisions.append((part, rules[left[0]]))
        left = [name for name in left if name not in covered]
    return [*decisions, (None, next(rule for name, rule in rules.items() if keys[name] == usual))]


def _parts(name: str, keys: Mapping[str, str]) -> list[str]:
    """Return the parts of a name that occur only in names of the same rule."""
    within = _within_layer(name)  # a layer's number tells nothing: a run has several
    parts = [part for part in [*within.split("."), within, name] if not part.isdecimal()]
    sound = [part for part in parts if all(keys[other] == keys[name] for other in keys if part in other)]
    if not sound:
        raise SpaceError(f"filter: mergekit cannot tell {name} from longer names that contain it")
    return sound


def _slice(recipe: Recipe, run: _Run, base_model: str | None) -> dict[str, Any]:
    decisions = _decisions(run.rules)
    sources = [_source(recipe, decisions, i) for i in range(len(decisions[0][1].inputs))]
    parents = [i.parent for i in decisions[0][1].inputs]
    if base_model is not None and decisions[0][1].operator != "slerp":
        sources.insert(0, {"model": _model(recipe, recipe.base)})
        parents.insert(0, recipe.base)
    for source, parent in zip(sources, parents, strict=True):
        if parent not in run.sources:
            raise SpaceError(f"layers: expected a layer of {parent!r} for output layer {run.first}, found none")
        first = run.sources[parent]
        source["layer_range"] = [first, first + run.last - run.first]
    data: dict[str, Any] = {"sources": sources}
    if decisions[0][1].operator == "slerp" and sources[0]["model"] != base_model:
        data["base_model"] = sources[0]["model"]
    own = _own_parameters(decisions)
    return data | ({"parameters": own} if own else {})


def _source(recipe: Recipe, decisions: Decisions, i: int) -> dict[str, Any]:
    first = decisions[0][1].inputs[i]
    settings = {
        name: _setting([(f, rule.inputs[i].parameters[name]) for f, rule in decisions]) for name in first.parameters
    }
    return {"model": _model(recipe, first.parent), **({"parameters": settings} if settings else {})}


def _own_parameters(decisions: Decisions) -> dict[str, Any]:
    return {
        name: _setting([(f, rule.parameters[name]) for f, rule in decisions]) for name in decisions[0][1].parameters
    }


def _setting(values: Sequence[tuple[str | None, Parameter]]) -> Any:
    if len({value for _, value in values}) == 1:
        return values[0][1]
    return [{"value": value} if part is None else {"filter": part, "value": value} for part, value in values]


def _model(recipe: Recipe, parent: str) -> str:
    return recipe.parents[parent].reference


def _with_rules(recipe: Recipe) -> Recipe:
    """Return the recipe that makes the same tensors by rules; one without pieces as it is.

    Opens the parents, their headers only.
    """
    if recipe.pieces is None:
        return recipe
    parents = Parents.of(recipe)
    pieces = TensorPieces(recipe.pieces, parents, recipe.base)
    made = {name: pieces.of(name) for name in flat_layout(parents, recipe.base).names}
    cut = [name for name, parts in made.items() if len(parts) > 1]
    if cut:
        raise SpaceError(
            f"pieces: mergekit cuts no tensor, found boundaries inside {len(cut)} of them, {cut[0]} among them; search "
            "with `split: tensor` or `split: layer` for merges that mergekit can make"
        )
    if len({part.coefficients for (part,) in made.values()}) == 1:
        (part,) = next(iter(made.values()))
        return replace(recipe, pieces=None, rules=(_combination(recipe.pieces.parents, part, Where()),))
    # A rule for a name must come before one for a part of it.
    names = sorted(made, key=len, reverse=True)
    rules = tuple(_combination(recipe.pieces.parents, made[name][0], Where(contains=(name,))) for name in names)
    return replace(recipe, pieces=None, rules=rules)


def _combination(parents: tuple[str, ...], piece: Piece, where: Where) -> Rule:
    shares = zip(parents, piece.coefficients, strict=True)
    return Rule("linear", tuple(Input(p, {"weight": share}) for p, share in shares), {"normalize": False}, where)
