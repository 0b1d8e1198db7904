"""Several merges in one file, in the order in which they need each other."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from search_spaces.mergekit.reading import check_document, interpreted
from search_spaces.mergekit.several import in_order
from search_spaces.output.complete_directory import check_unused, claimed
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.recipes.permissions import Permissions
from search_spaces.recipes.recipe import RECIPE_FILE

if TYPE_CHECKING:
    from evomerge.api.merging import Merged, Say

# The whole file, beside the result: a recipe.json would name checkpoints that are gone.
COPY = "mergekit_config.yml"


def merge_several(
    file: Path, documents: Sequence[object], out: Path, *, strict: bool, permissions: Permissions, say: Say
) -> Merged:
    """Carry out the merges of a file whose later documents name earlier ones as models.

    All are read, and their models opened, before the first is carried out. What is only another merge's parent is
    written to a hidden directory beside `out`, and removed at the end, with or without success.

    Returns:
        The result's directory; where there are several results, the one that they lie in.

    Raises:
        SpaceError: see `evomerge.merge`; the message names the document.
    """
    from evomerge.api.merging import Merged, carry_out

    out = out.expanduser().resolve()
    between = out.with_name(f".{out.name}.merges")
    order = in_order(documents, out, between)
    check_unused(out)
    for step in order.steps:
        for source in check_document(step.data, file, key=step.key, made=order.made, strict=strict):
            Checkpoint.open(source)
    notes = list(order.remarks)
    try:
        with claimed(between):
            for number, step in enumerate(order.steps, 1):
                say(f"merge {number} of {len(order.steps)}: {step.name or step.key}")
                reading = interpreted(step.data, file, key=step.key, made=order.made, strict=strict)
                reading = replace(reading, permissions=reading.permissions | permissions)
                done = carry_out(reading, step.directory, strict=strict, say=say)
                notes += [f"{step.key}: {note}" for note in done.notes]
                if step.kept:
                    _keep_file(file, step.directory)
    finally:
        shutil.rmtree(between, ignore_errors=True)
    return Merged(out, notes=tuple(notes))


def _keep_file(file: Path, directory: Path) -> None:
    (directory / RECIPE_FILE).unlink()
    where = f"# One of the merges of {file.name}; relative paths lead from where it lies.\n"
    (directory / COPY).write_text(where + file.read_text(encoding="utf-8-sig"), encoding="utf-8")
