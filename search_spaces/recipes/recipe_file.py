"""Recipes as people pass them on: files of JSON, read strictly and named in errors."""

from __future__ import annotations

import json
from pathlib import Path

from evomerge.content import content_of, each_key_once
from search_spaces.errors import SpaceError, in_brief
from search_spaces.recipes.recipe import Recipe

_MOST_BYTES = 2**28  # a recipe with a gene for each tensor of 64 parents has some 10 MB


def recipe_in(file: Path) -> Recipe:
    """Return the recipe in a file of JSON, with or without a byte order mark.

    Raises:
        SpaceError: it names the file: it cannot be read, is no recipe, or can be read in two ways.
    """
    try:
        data = json.loads(content_of(file, _MOST_BYTES).decode("utf-8-sig"), object_pairs_hook=each_key_once)
        return Recipe.from_dict(data)
    except SpaceError as error:
        raise SpaceError(f"{file}: {error}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise SpaceError(f"{file}: expected a recipe in JSON, found what cannot be read ({in_brief(error)})") from error
