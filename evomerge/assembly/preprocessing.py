"""What turns text and images into inputs of the models that are merged: the tokenizer, and the base's processor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fitness.engine.model.tokenizer import Tokenizer, load_tokenizer, why_not_loaded
from fitness.errors import FitnessError
from fitness.protocols import AnyTask, ModelTask
from search_spaces.output.companion_files import names_code, write_companions
from search_spaces.output.output_tokenizer import tokenizer_files, write_tokenizer
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.checkpoint_files import GENERATION_CONFIG
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import OutputTokenizer


def output_tokenizer(parents: Parents, base: str, tokenizer: OutputTokenizer) -> Tokenizer:
    """Return the tokenizer of what is merged, which may be no parent's own."""
    if _is_as_it_lies(parents, base):
        return load_tokenizer(parents[base].directory)
    with TemporaryDirectory() as directory:
        write_tokenizer(parents, base, tokenizer, Path(directory))
        return load_tokenizer(Path(directory))


def tokenizer_if_any(parents: Parents, base: str, tokenizer: OutputTokenizer) -> Tokenizer | None:
    """Return the tokenizer of what is merged; None where its models read no text, and come without one."""
    from search_spaces.layers.architecture import why_no_text

    if not tokenizer_files(parents, base, tokenizer).keys() - {GENERATION_CONFIG} and why_no_text(parents[base]):
        return None
    return output_tokenizer(parents, base, tokenizer)


def output_processor(parents: Parents, base: str, tokenizer: OutputTokenizer) -> Any:
    """Return transformers' processor of what is merged: the base's, with the tokenizer of what is merged.

    Raises:
        FitnessError: the base has none that transformers can load.
    """
    if _is_as_it_lies(parents, base) and not names_code(parents[base].directory):
        return _load_processor(parents[base].directory, parents[base].directory)
    with TemporaryDirectory() as directory:
        write_companions(parents, base, tokenizer, Path(directory))
        return _load_processor(Path(directory), parents[base].directory)


def asking(tasks: Iterable[AnyTask]) -> list[str]:
    """Return the names of those tasks that ask a language model."""
    return [task.name for task in tasks if not isinstance(task, ModelTask)]


def check_asked(base: Checkpoint, tasks: Sequence[str]) -> None:
    """Do nothing if models of the base's architecture can be asked in text, as tasks of these names do.

    Raises:
        FitnessError: there is such a task, and they cannot.
    """
    from search_spaces.layers.architecture import why_no_text

    reason = why_no_text(base) if tasks else ""
    if reason:
        raise FitnessError(
            f"task {tasks[0]!r}: asks a language model, and {reason}; score such models by Python functions "
            "(python:FILE.py:FUNCTION), which run the model themselves"
        )


def _is_as_it_lies(parents: Parents, base: str) -> bool:
    return parents.vocabulary is None and parents[base].tokenizer_directory == parents[base].directory


def _load_processor(directory: Path, base: Path) -> Any:
    from transformers import AutoProcessor

    try:
        return AutoProcessor.from_pretrained(directory, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise FitnessError(
            f"{base}: expected a processor, as a Python task asks for one, found none that transformers loads "
            f"({why_not_loaded(error)}); save it there with processor.save_pretrained"
        ) from error
