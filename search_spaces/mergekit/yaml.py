"""mergekit's YAML to recipes and back, for the merge methods that are operators here.

What cannot be honoured is refused with its key, never ignored. Two differences in numbers are meant: arithmetic is
float32 whatever `dtype` says (the result is rounded once, to `out_dtype`, else `dtype`), and DARE's random masks are
seeded by tensor name, so they are others than mergekit's.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

import yaml

from search_spaces.errors import SpaceError
from search_spaces.mergekit.document import Document, read_document
from search_spaces.mergekit.rules import rules_of
from search_spaces.mergekit.writing import to_mergekit
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.recipes.groups import n_layers
from search_spaces.recipes.recipe import ExportDtype, Recipe

__all__ = ["read_mergekit", "to_mergekit"]


def read_mergekit(path: Path) -> Recipe:
    """Return the recipe that a mergekit configuration describes.

    Parents are found relative to the file, else to the working directory, else they are hub ids. The first one is
    opened (its headers only) when the file alone does not tell the depth for a gradient, or the dtype.

    Raises:
        SpaceError: the file cannot be read, or asks for what cannot be honoured; the message names file and key.
    """
    try:
        return _recipe(read_document(yaml.safe_load(path.read_text(encoding="utf-8")), path.parent))
    except OSError as error:
        raise SpaceError(f"{path}: expected a readable file, found: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise SpaceError(f"{path}: expected YAML, found: {' '.join(str(error).split())}") from error
    except SpaceError as error:
        raise SpaceError(f"{path}: {error}") from error


def _recipe(document: Document) -> Recipe:
    layers = [
        {source.parent: source.first_layer + i for source in part.sources}
        for part in document.slices
        for i in range(part.n_layers or 0)
    ]
    return Recipe(
        parents=document.parents,
        base=document.donor,
        rules=tuple(rules_of(document, lambda: n_layers(_donor(document).names))),
        dtype=_dtype(document),
        layers=tuple(layers) or None,
        tokenizer=document.tokenizer,
    )


def _donor(document: Document) -> Checkpoint:
    return Checkpoint.open(document.parents[document.donor])


def _dtype(document: Document) -> ExportDtype:
    dtype = document.dtype
    if dtype is None:
        checkpoint = _donor(document)
        dtype = str(checkpoint.dtype(checkpoint.names[0])).removeprefix("torch.")
    if dtype not in get_args(ExportDtype):
        raise SpaceError(f"dtype: expected one of {list(get_args(ExportDtype))}, found {dtype!r}")
    return cast(ExportDtype, dtype)
