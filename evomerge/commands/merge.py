"""`evomerge merge`: one recipe carried out, no search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from search_spaces.errors import SpaceError
from search_spaces.recipe import Recipe

if TYPE_CHECKING:
    from search_spaces.weights.parents import Parents


def merge(recipe_file: Path, out: Path, console: Console) -> None:
    """Carry out a recipe, ours (.json) or mergekit's (.yml), and write the checkpoint.

    Raises:
        SpaceError: the recipe cannot be read or carried out.
    """
    from search_spaces.weights.export import export
    from search_spaces.weights.parents import Parents

    recipe = read_recipe(recipe_file)
    parents = Parents.of(recipe)
    _check(recipe, parents)
    console.print(f"merged model: {export(recipe, parents, out)}", highlight=False)


def merge_adapters(recipe_file: Path, out: Path, console: Console, *, rank: int | None) -> None:
    """Carry out a recipe on LoRA adapters, and write what it makes of them as one adapter.

    Raises:
        SpaceError: the recipe cannot be read or carried out, or its result is no adapter.
    """
    from search_spaces.weights.export_adapter import export_adapter
    from search_spaces.weights.parents import Parents

    recipe = read_recipe(recipe_file)
    parents = Parents.of(recipe)
    _check(recipe, parents)
    done = export_adapter(recipe, parents, out, rank=rank)
    loss = "exact: the parents' ranks add up"
    if done.error > 0.0:
        name, share = done.worst
        loss = f"reconstruction error {done.error:.2%} of the change's norm, {share:.2%} in {name}"
    console.print(f"merged adapter: {done.directory} (rank {done.rank}, {loss})", highlight=False)


def read_recipe(path: Path) -> Recipe:
    """Return the recipe in a file, ours (.json) or mergekit's.

    Raises:
        SpaceError: there is no such file, or it holds no recipe.
    """
    from search_spaces.mergekit_yaml import read_mergekit

    if not path.is_file():
        raise SpaceError(f"{path}: expected a recipe (mergekit YAML, or JSON of ours), found no such file")
    if path.suffix != ".json":
        return read_mergekit(path)
    return Recipe.from_json(path.read_text(encoding="utf-8"))


def _check(recipe: Recipe, parents: Parents) -> None:
    from search_spaces.weights.preflight import preflight
    from search_spaces.weights.sources import check_filters

    check_filters(recipe, parents)
    stacked = recipe.layers is not None
    preflight(parents, recipe.base, read_weights=False, stacked=stacked).raise_for_errors()
