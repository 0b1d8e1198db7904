"""pydantic's errors in our words, with the key and line of the file."""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from evomerge.config.errors import ConfigProblem
from evomerge.config.yaml_document import Document
from evomerge.wording import told


def problems_of(
    error: ValidationError, model: type[BaseModel], document: Document, at: tuple[str | int, ...] = ()
) -> list[ConfigProblem]:
    """Return one problem per error.

    Args:
        error: what pydantic found.
        model: what the file was read as.
        document: the file.
        at: where in the file the model begins.
    """
    return [
        ConfigProblem(*document.locate((*at, *loc)), expected, found, hint)
        for loc, (expected, found, hint) in told(error, model)
    ]
