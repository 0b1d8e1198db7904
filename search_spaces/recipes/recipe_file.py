"""Recipes as people pass them on: files of JSON, read strictly and named in errors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from search_spaces.errors import SpaceError, content_of, in_brief, shortened
from search_spaces.recipes.recipe import Recipe

_MOST_BYTES = 2**28  # a recipe with a gene for each tensor of 64 parents has some 10 MB


def recipe_in(file: Path) -> Recipe:
    """Return the recipe in a file of JSON, with or without a byte order mark.

    Raises:
        SpaceError: it names the file: it cannot be read, is no recipe, or can be read in two ways.
    """
    try:
        data = json.loads(content_of(file, _MOST_BYTES).decode("utf-8-sig"), object_pairs_hook=_once)
        return Recipe.from_dict(data)
    except SpaceError as error:
        raise SpaceError(f"{file}: {error}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise SpaceError(f"{file}: expected a recipe in JSON, found what cannot be read ({in_brief(error)})") from error


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise SpaceError(f"recipe: expected each key once, found {shortened(repr(twice), 60)} twice in one object")
    return found
