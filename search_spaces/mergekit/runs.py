"""A recipe's rules as what mergekit can say of a stack: runs of layers that are made alike, filters on tensor names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from search_spaces.architecture.architecture import Architecture
from search_spaces.errors import SpaceError
from search_spaces.layers.folding import Fold
from search_spaces.layers.scale_folding import layer_folds
from search_spaces.layers.sources import output_architecture, output_names
from search_spaces.parents.parents import Parents
from search_spaces.recipes.groups import matches
from search_spaces.recipes.recipe import Recipe
from search_spaces.recipes.rule import Rule

Decisions: TypeAlias = list[tuple[str | None, Rule]]  # (filter; None matches the rest, rule), first match first


@dataclass(frozen=True)
class Run:
    """Consecutive output layers that are made alike from consecutive layers of each parent."""

    first: int
    last: int
    sources: Mapping[str, int]  # parent -> its layer in the run's first layer
    # tensor name -> rule, of all its layers; in the first and last run also what lies before or after
    rules: Mapping[str, Rule]


def made_rules(recipe: Recipe, rules: Sequence[Rule], parents: Parents) -> dict[str, Rule]:
    """Return output tensor -> the rule that makes it, with what is folded into it."""
    folds, architecture = layer_folds(recipe, parents), output_architecture(recipe, parents)
    made: dict[str, Rule] = {}
    for name in output_names(recipe, parents):
        rule = next((rule for rule in rules if matches(rule.where, name, architecture.locate(name))), None)
        if rule is None:
            raise SpaceError(f"rules: expected one that matches the tensor {name}, found none")
        made[name] = _folded(Rule(rule.operator, rule.inputs, rule.parameters), folds[name])
    return made


def runs_of(recipe: Recipe, made: Mapping[str, Rule], architecture: Architecture) -> list[Run]:
    """Return the runs of one stack, given the rules of its tensors; none where it has no layers."""
    runs: list[Run] = []
    for layer, own in _by_layer(made, architecture):
        layers = recipe.layers[layer] if recipe.layers else dict.fromkeys(recipe.parents, layer)
        if runs and _continues(runs[-1], layers, own, architecture):
            runs[-1] = replace(runs[-1], last=layer + 1, rules={**runs[-1].rules, **own})
        else:
            runs.append(Run(layer, layer + 1, dict(layers), own))
    for at, side in ((0, "before"), (-1, "after")) if runs else ():
        outside = {name: rule for name, rule in made.items() if architecture.locate(name).side == side}
        runs[at] = replace(runs[at], rules={**runs[at].rules, **outside})
    for run in runs:
        if not same_parents(list(run.rules.values())):
            raise SpaceError(
                f"rules: mergekit merges the same models throughout a slice, found others in layers {run.first} to "
                f"{run.last - 1} or beside them"
            )
    return runs


def same_parents(rules: Sequence[Rule]) -> bool:
    """Return whether all rules merge the same models."""
    return len({tuple(i.parent for i in rule.inputs) for rule in rules}) == 1


def decisions_of(rules: Mapping[str, Rule], architecture: Architecture) -> Decisions:
    """Return filters that tell the names' rules apart; the most frequent rule takes what no filter matches."""
    keys = {name: repr(rule) for name, rule in rules.items()}
    usual = Counter(keys.values()).most_common(1)[0][0]
    decisions: Decisions = []
    left = [name for name in rules if keys[name] != usual]
    while left:
        parts = _parts(left[0], keys, architecture)
        part, covered = max(((part, [n for n in left if part in n]) for part in parts), key=lambda found: len(found[1]))
        decisions.append((part, rules[left[0]]))
        left = [name for name in left if name not in covered]
    return [*decisions, (None, next(rule for name, rule in rules.items() if keys[name] == usual))]


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


def _by_layer(made: Mapping[str, Rule], architecture: Architecture) -> Iterator[tuple[int, dict[str, Rule]]]:
    layers: dict[int, dict[str, Rule]] = {}
    for name, rule in made.items():
        layer = architecture.locate(name).layer
        if layer is not None:
            layers.setdefault(layer, {})[name] = rule
    yield from sorted(layers.items())


def _continues(run: Run, layers: Mapping[str, int], own: Mapping[str, Rule], architecture: Architecture) -> bool:
    shift = run.last - run.first
    first = {name: rule for name, rule in run.rules.items() if architecture.locate(name).layer == run.first}
    alike = {architecture.anywhere(n): r for n, r in first.items()} == {
        architecture.anywhere(n): r for n, r in own.items()
    }
    return alike and run.sources == {parent: layer - shift for parent, layer in layers.items()}


def _parts(name: str, keys: Mapping[str, str], architecture: Architecture) -> list[str]:
    """Return the parts of a name that occur only in names of the same rule."""
    layer = architecture.locate(name).layer
    # A layer's number tells nothing: a run has several.
    around, _, within = ("", "", name) if layer is None else name.partition(f".{layer}.")
    parts = [part for part in [*within.split("."), within, *around.split("."), name] if part and not part.isdecimal()]
    sound = [part for part in parts if all(keys[other] == keys[name] for other in keys if part in other)]
    if not sound:
        raise SpaceError(f"filter: mergekit cannot tell {name} from longer names that contain it")
    return sound
