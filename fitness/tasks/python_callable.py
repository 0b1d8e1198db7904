"""Tasks that are Python functions of a model: anything that no question and answer can say, images too.

`python:package.module:function` or `python:path/to/file.py:function` names a function

    def function(model, tokenizer) -> dict[str, float]: ...

that returns one finite score per item, higher is better. With a keyword `items` it is told which items are wanted and
returns those. With a keyword `processor` it is handed transformers' processor of the models to score, which makes
inputs of images and text. With an attribute `item_ids` it says which there are; else it is called once, on the
campaign's base model, to find out. An attribute `group_of`, a mapping, says which items come together: item id -> name
of its group.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import logging
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fitness.errors import FitnessError, shortened
from fitness.tasks.function_text import function_text

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger(__name__)
_MAX_NAMED = 3
IMPORTED_FILE = "evomerge_task_"  # what names of modules begin with that were imported by their path


class PythonTask:
    """A function's items; a `ModelTask`.

    Args:
        name: unique within a campaign.
        function: see this module's docstring.
        tokenizer: transformers' of the campaign's base, passed on; None where there is none.
        base: loads the base model, only where the function does not say its item ids; None where there is none.
        processor: loads transformers' processor, only where the function asks for it; None where there is none.
        code: what the function says, by which a change of it is noticed; empty: not known.
    """

    metric = "score"

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        tokenizer: object,
        base: Callable[[], nn.Module] | None,
        processor: Callable[[], object] | None = None,
        code: str = "",
    ) -> None:
        self.name, self.code = name, code
        self._function = function
        self._tokenizer = tokenizer
        self._takes_items = _takes(function, "items")
        self._handed = self._processor(processor) if _takes(function, "processor") else {}
        said = getattr(function, "item_ids", None)
        if said is None:
            if base is None:
                raise FitnessError(f"{name}: expected a function with an attribute item_ids, found none")
            said = self._scores(base())
        self.item_ids = self._checked_ids(tuple(said))
        self.group_of = self._checked_groups(getattr(function, "group_of", {}))

    def score_model(self, model: nn.Module, item_ids: Sequence[str]) -> list[float]:
        """Return the function's scores of some items (see `ModelTask.score_model`)."""
        scores = self._scores(model, tuple(item_ids))
        self._check_items(scores, item_ids)
        return [self._score(scores, item) for item in item_ids]

    def _processor(self, load: Callable[[], object] | None) -> dict[str, object]:
        if load is None:
            raise FitnessError(f"{self.name}: expected a processor, which the function asks for, found none here")
        try:
            return {"processor": load()}
        except FitnessError as error:
            raise FitnessError(f"{self.name}: {error}") from error

    def _scores(self, model: nn.Module, items: tuple[str, ...] | None = None) -> Mapping[str, Any]:
        import torch

        model.eval()
        wanted = {"items": items} if self._takes_items and items is not None else {}
        with self._naming_errors(), torch.no_grad():
            scores = self._function(model, self._tokenizer, **self._handed, **wanted)
        if not isinstance(scores, Mapping):
            raise FitnessError(f"{self.name}: expected a dict of item ids and scores, found {type(scores).__name__}")
        return scores

    def _check_items(self, scores: Mapping[str, Any], item_ids: Sequence[str]) -> None:
        expected = set(item_ids) if self._takes_items else set(self.item_ids)
        missing, more = expected - scores.keys(), scores.keys() - expected
        if missing or more:
            found = [f"{_listed(missing)} missing"] * bool(missing) + [f"{_listed(more)} as well"] * bool(more)
            raise FitnessError(f"{self.name}: expected scores of {len(expected)} items, found {' and '.join(found)}")

    def _score(self, scores: Mapping[str, Any], item: str) -> float:
        try:
            value = float(scores[item])
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise FitnessError(f"{self.name}: expected a finite number for item {item!r}, found {scores[item]!r}")
        return value

    def _checked_ids(self, ids: tuple[object, ...]) -> tuple[str, ...]:
        texts = tuple(item for item in ids if isinstance(item, str) and item and "\n" not in item)
        if not ids or len(set(texts)) < len(ids):
            found = "none" if not ids else _listed(item for item in ids if item not in texts or ids.count(item) > 1)
            raise FitnessError(f"{self.name}: expected item ids that are different texts of one line, found {found}")
        return texts

    def _checked_groups(self, said: object) -> dict[str, str]:
        names: Mapping[Any, Any] = said if isinstance(said, Mapping) else {type(said).__name__: said}
        if unknown := names.keys() - set(self.item_ids):
            expected = "a mapping of its item ids to names"
            raise FitnessError(f"{self.name}.group_of: expected {expected}, found {_listed(unknown)} that is none")
        wrong = [name for name in names.values() if isinstance(name, bool) or not isinstance(name, (str, int))]
        if wrong or "" in names.values():
            found = _listed(wrong or [""])
            raise FitnessError(f"{self.name}.group_of: expected texts or whole numbers as names, found {found}")
        return {str(item): str(name) for item, name in names.items()}

    @contextlib.contextmanager
    def _naming_errors(self) -> Iterator[None]:
        import torch

        try:
            yield
        except (MemoryError, torch.OutOfMemoryError):
            raise  # the caller frees some and tries again
        except Exception as error:  # it is the user's code, which can raise anything
            reason = " ".join(str(error).split()) or "no reason given"
            raise FitnessError(f"{self.name}: the function raised {type(error).__name__}: {reason}") from error


def load_function(place: str, function: str) -> Callable[..., Any]:
    """Import a task's function from a dotted module, or from the path of a `.py` file."""
    source = f"python:{place}:{function}"
    if not place or not function.isidentifier():
        raise FitnessError(f"task {source!r}: expected python:MODULE:FUNCTION or python:FILE.py:FUNCTION")
    log.warning("runs code: %s of %s", function, place)
    module = _import_file(Path(place), source) if place.endswith(".py") else _import_module(place, source)
    found = getattr(module, function, None)
    if not callable(found):
        raise FitnessError(f"task {source!r}: expected a function {function!r} in {place}, found none")
    called: Callable[..., Any] = found
    return called


def code_of(place: str, function: str) -> str:
    """Return what an imported task's function says (see `function_text`); empty where nobody knows."""
    file = place if place.endswith(".py") else getattr(sys.modules.get(place), "__file__", None)
    return "" if file is None else function_text(Path(file), function)


def _import_module(name: str, source: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # importing runs the user's code
        raise _not_imported(source, error, "; is it installed, or on PYTHONPATH?") from error


def _import_file(path: Path, source: str) -> ModuleType:
    if not os.path.isfile(path):  # pathlib raises for names that are too long
        raise FitnessError(f"task {shortened(source)!r}: expected a file, found nothing at {shortened(str(path))}")
    path = path.resolve()
    name = f"{IMPORTED_FILE}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look it up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # importing runs the user's code
        del sys.modules[name]
        missing = isinstance(error, ModuleNotFoundError)
        hint = "; it is imported by its path, without its folder on sys.path" if missing else ""
        raise _not_imported(source, error, hint) from error
    return module


def _not_imported(source: str, error: Exception, hint: str) -> FitnessError:
    return FitnessError(f"task {source!r}: cannot be imported: {type(error).__name__}: {error}{hint}")


def _takes(function: Callable[..., Any], name: str) -> bool:
    try:
        return name in inspect.signature(function).parameters
    except ValueError:  # compiled functions need not have a signature
        return False


def _listed(items: object) -> str:
    assert hasattr(items, "__iter__")
    names = sorted({repr(item) for item in items})
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more
