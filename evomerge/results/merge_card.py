"""The card of a merge that no search found: models, method, configuration, as mergekit writes one."""

from __future__ import annotations

from evomerge.results.card_metadata import Inherited, front_matter
from evomerge.results.local_paths import public, yaml_without_directories
from evomerge.results.model_card import USAGE, cell, fenced, parents_of
from evomerge.visible import visible
from search_spaces.recipes.recipe import Recipe


def merge_card(recipe: Recipe, name: str, configuration: str | None, taken_over: Inherited) -> str:
    """Return the README.md of a merge; `configuration` is mergekit's, where it can say the recipe."""
    shown = public(recipe)
    parents = [shown.parents[parent].model for parent in parents_of(shown)]
    methods = ", ".join(dict.fromkeys(rule.operator for rule in shown.rules)) or "linear, in segments of the parameters"
    models = [*parents, shown.parents[shown.base].model]
    parts = [
        f"---\n{front_matter(models, taken_over, name)}---",
        f"# {cell(name)}",
        f"A merge of {', '.join(map(cell, parents))}, made with evomerge by {cell(methods)}; the base is "
        f"{cell(models[-1])}. It is an ordinary checkpoint: no custom code is needed to load it.",
        taken_over.note and cell(taken_over.note),
        f"## How to use it\n\n{fenced(USAGE, 'python')}",
        configuration and f"## Configuration\n\n{fenced(yaml_without_directories(configuration), 'yaml')}",
    ]
    return visible("\n\n".join(filter(None, parts)) + "\n")
