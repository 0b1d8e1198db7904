"""mergekit's YAML to recipes, for the merge methods that are operators here.

What mergekit ignores is remarked on, what cannot be honoured is refused with its key. Three differences in numbers are
meant: arithmetic is float32 whatever `dtype` says (the result is rounded once, to `out_dtype`, else `dtype`), DARE's
random masks are seeded by tensor name, so they are others than mergekit's, and final norm and head get a gradient's
last value, as in mergekit up to 0.1.0 (0.1.1 to 0.1.5 give them its first).
"""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import cast, get_args

import yaml

from evomerge.content import content_of
from search_spaces.architecture.architecture import Architecture, Stack
from search_spaces.errors import SpaceError, few_lines
from search_spaces.mergekit.document import Document, read_document
from search_spaces.mergekit.remarks import Remarks
from search_spaces.mergekit.requested import RequestedStatistics
from search_spaces.mergekit.rules import layers_of, left_out, rules_of
from search_spaces.mergekit.yaml_text import load_documents
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.recipes.permissions import NOTHING_ALLOWED, Permissions
from search_spaces.recipes.recipe import ExportDtype, ParentSource, Recipe

_MOST_BYTES = 2**24


@dataclass(frozen=True)
class Reading:
    """What a mergekit configuration says.

    Attributes:
        recipe: what is merged.
        requested: what parents are to read; None where the file does not say.
        remarks: what the file says that has no effect, or another one than in mergekit; each begins with its key.
        permissions: what the file lets through.
    """

    recipe: Recipe
    requested: RequestedStatistics | None = None
    remarks: tuple[str, ...] = ()
    permissions: Permissions = NOTHING_ALLOWED


def read_mergekit(path: Path) -> Recipe:
    """Return the recipe that a mergekit configuration describes.

    Parents are found relative to the file, else to the working directory, else they are hub ids. The first one is
    opened (its headers only) when the file alone does not tell the depth for a gradient, or the dtype.

    Raises:
        SpaceError: the file cannot be read, or asks for what cannot be honoured; the message names file and key.
    """
    return read_with_remarks(path).recipe


def read_with_remarks(path: Path, *, strict: bool = False) -> Reading:
    """Return what a file of one document says, beside the recipe what it asks for in vain; see `read_mergekit`.

    Raises:
        SpaceError: see `read_mergekit`; if `strict` for remarks as well.
    """
    documents = read_documents(path)
    if len(documents) > 1:
        raise SpaceError(
            f"{path}: expected one merge, found {len(documents)} documents (mergekit-multi's form); "
            "`evomerge merge` and `evomerge.merge` carry them out"
        )
    return interpreted(documents[0], path, strict=strict)


def read_documents(path: Path) -> list[object]:
    """Return the plain data of every document in a YAML file that is not empty; one at least.

    Text that is indented as a whole, as cards have it in lists, is moved to the margin.
    """
    try:
        text = content_of(path, _MOST_BYTES).decode("utf-8-sig").replace("\r\n", "\n")
        documents = load_documents(textwrap.dedent(text))
    except OSError as error:
        raise SpaceError(f"{path}: expected a readable file, found: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise SpaceError(f"{path}: expected YAML, found: {' '.join(str(error).split())}") from error
    except SpaceError as error:
        raise SpaceError(f"{path}: {error}") from error
    return [document for document in documents if document is not None] or [None]


def interpreted(
    data: object, path: Path, *, key: str = "", made: Mapping[str, Path] = MappingProxyType({}), strict: bool = False
) -> Reading:
    """Return what one document of a file says.

    Models may be named like the merges that were `made` before. `key` is what messages call the document.
    """
    remarks = Remarks()
    with _told(f"{path}: {key}" if key else str(path), remarks, strict):
        document = read_document(data, path.parent, remarks, made)
        recipe = _recipe(document, remarks)
    return Reading(recipe, document.requested, remarks.texts, document.permissions)


def check_document(
    data: object, path: Path, *, key: str, made: Mapping[str, Path], strict: bool = False
) -> list[ParentSource]:
    """Return the models that are there before the first merge, of a document that `interpreted` can read by then."""
    remarks = Remarks()
    with _told(f"{path}: {key}", remarks, strict):
        document = read_document(data, path.parent, remarks, made)
        if None in document.modules:
            rules_of(document, lambda: Architecture((Stack("text", 2),)))
    later = set(map(str, made.values()))
    return [source for source in document.parents.values() if source.model not in later]


@contextlib.contextmanager
def _told(where: str, remarks: Remarks, strict: bool) -> Iterator[None]:
    """Name the file in errors, with what was remarked, and make errors of remarks if strict."""
    try:
        yield
    except RecursionError as error:
        raise SpaceError(f"{where}: expected YAML, found: an anchor that contains itself") from error
    except SpaceError as error:
        raise SpaceError(f"{where}: {few_lines([str(error), *remarks.texts])}") from error
    if strict and remarks.texts:
        raise SpaceError(f"{where}: {few_lines([f'strict: {text}' for text in remarks.texts])}")


def _recipe(document: Document, remarks: Remarks) -> Recipe:
    def architecture() -> Architecture:
        return _donor(document).architecture

    if None not in document.modules:
        for stack in left_out(document, architecture()):
            remarks.add("modules", f"none of them is the {stack} stack: it is {document.donor}'s")
    return Recipe(
        parents=document.parents,
        base=document.donor,
        rules=tuple(rules_of(document, architecture)),
        dtype=_dtype(document),
        layers=tuple(layers_of(document, architecture)) or None,
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
