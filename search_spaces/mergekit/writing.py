"""A recipe as a mergekit configuration, where mergekit can do the same."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import yaml

from search_spaces.architecture.architecture import Architecture
from search_spaces.errors import SpaceError
from search_spaces.layers.sources import output_architecture
from search_spaces.mergekit.document import INT8_MASK
from search_spaces.mergekit.modules import BETWEEN
from search_spaces.mergekit.runs import Decisions, Run, decisions_of, made_rules, runs_of, same_parents
from search_spaces.mergekit.tokenizer import tokenizer_keys
from search_spaces.merging.piecewise import Piece, TensorPieces, flat_layout
from search_spaces.operators.operator import Operator
from search_spaces.operators.registry import check_rule, find_operator
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import Recipe
from search_spaces.recipes.rule import Input, Parameter, Rule, Where

DELTAS = "deltas"  # said by giving a base_model
_MODULES = {"text": "text_decoder", "vision": "vision_tower", "audio": "audio_tower"}


def to_mergekit(recipe: Recipe, parents: Parents | None = None) -> str:
    """Return a mergekit configuration for the same merge.

    Rules for layers or kinds of modules are written as slices and filters, for which the parents are opened (their
    headers only, unless they are given) to learn the tensors' names. Parents that are not merged have no place in
    mergekit's file: for linear and passthrough merges a base of that sort is left out, and mergekit takes the config
    from the first model.

    Raises:
        SpaceError: mergekit has no way to say it (the message gives the reason), or a parent cannot be opened.
    """
    recipe = _with_rules(recipe, parents)
    rules = tuple(_as_mergekit(rule, recipe) for rule in recipe.rules)
    operator = rules[0].operator
    needs_base = find_operator(operator).reads_base(check_rule(recipe.rules[0]).parameters)
    data: dict[str, Any] = {"merge_method": operator}
    if needs_base or operator == "slerp":
        data["base_model"] = _model(recipe, recipe.base if needs_base else rules[0].inputs[0].parent)
    everywhere = _plain_decisions(rules) if recipe.layers is None else None
    if everywhere:
        data |= _models(recipe, everywhere)
    else:
        data |= _by_place(recipe, rules, data.get("base_model"), parents)
    data |= {"dtype": "float32", "out_dtype": recipe.dtype}
    return yaml.safe_dump(data | tokenizer_keys(recipe.tokenizer, lambda p: _model(recipe, p)), sort_keys=False)


def _by_place(recipe: Recipe, rules: Sequence[Rule], base_model: str | None, parents: Parents | None) -> dict[str, Any]:
    """Return models with filters where names alone tell the rules apart, else slices, of several stacks in modules."""
    parents = parents or Parents.of(recipe)
    made, architecture = made_rules(recipe, rules, parents), output_architecture(recipe, parents)
    stacks = list(architecture.depths)
    if len(stacks) < 2:
        return _part(recipe, made, architecture, base_model)
    between = "shared" if "encoder" in stacks and "decoder" in stacks else "multi_modal_projector"
    modules = {}
    for stack in [*stacks, BETWEEN]:
        own = {name: rule for name, rule in made.items() if architecture.locate(name).stack == stack}
        if own:
            of_stack = recipe if stack == stacks[0] else replace(recipe, layers=None)
            name = between if stack == BETWEEN else _MODULES.get(stack, stack)
            modules[name] = _part(of_stack, own, architecture, base_model)
    if same_parents(list(made.values())) and not any("slices" in module for module in modules.values()):
        with contextlib.suppress(SpaceError):
            return _models(recipe, decisions_of(made, architecture))
    return {"modules": modules}


def _part(
    recipe: Recipe, made: Mapping[str, Rule], architecture: Architecture, base_model: str | None
) -> dict[str, Any]:
    """Return the models or the slices of one stack, given the rules of its tensors."""
    runs = runs_of(recipe, made, architecture)
    if recipe.layers is None and len(runs) < 2:
        return _models(recipe, decisions_of(made, architecture))
    return {"slices": [_slice(recipe, run, architecture, base_model) for run in runs]}


def _models(recipe: Recipe, decisions: Decisions) -> dict[str, Any]:
    own = _own_parameters(decisions)
    models = [_source(recipe, decisions, i) for i in range(len(decisions[0][1].inputs))]
    return {"models": models, **({"parameters": own} if own else {})}


def _as_mergekit(rule: Rule, recipe: Recipe) -> Rule:
    """Return a checked rule of the recipe's one operator, with mergekit's form of `rescale`."""
    main = recipe.rules[0]
    alone = rule.operator == "passthrough" and rule.inputs == (Input(recipe.base),)
    if alone and find_operator(main.operator).needs_base:
        # mergekit has one method per file; task vectors of weight 0 leave the base itself.
        unweighted = tuple(Input(i.parent, {"weight": 0.0}) for i in main.inputs)
        rule = Rule(main.operator, unweighted, main.parameters, rule.where)
    elif alone and main.operator == "linear":  # in a module of its own
        rule = Rule("linear", (Input(recipe.base, {"weight": 1.0}),), main.parameters, rule.where)
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
            return decisions if same_parents([rule for _, rule in decisions]) else None
    return None


def _slice(recipe: Recipe, run: Run, architecture: Architecture, base_model: str | None) -> dict[str, Any]:
    decisions = decisions_of(run.rules, architecture)
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


def _with_rules(recipe: Recipe, parents: Parents | None) -> Recipe:
    """Return the recipe that makes the same tensors by rules; one without pieces as it is."""
    if recipe.pieces is None:
        return recipe
    parents = parents or Parents.of(recipe)
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
