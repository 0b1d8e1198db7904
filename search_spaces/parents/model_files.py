"""Which files belong to a model: weights, processors, sentence-transformers' modules, licences, code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from evomerge.content import content_of
from search_spaces.errors import SpaceError, in_brief

# transformers' name for weights, and that of diffusers' components.
WEIGHTS_NAMES = ("model", "diffusion_pytorch_model")
MODULES = "modules.json"  # sentence-transformers': what follows the transformer, each in a folder of its own
CODE = "*.py"
COMPANIONS = (
    "*processor_config.json",  # preprocessor_config, processor_config, video_preprocessor_config
    MODULES,
    "sentence_*_config.json",
    "config_sentence_transformers.json",
    "router_config.json",
    "LICEN[CS]E*",
    "licen[cs]e*",
    "NOTICE*",
    "COPYING*",
    "USE_POLICY*",
)


def companions(directory: Path) -> Iterator[Path]:
    """Yield the files that belong to a model besides config, weights, tokenizer and code; folders of modules too."""
    for pattern in COMPANIONS:
        yield from (path for path in sorted(directory.glob(pattern)) if path.is_file())
    for folder in module_folders(directory):
        yield from (path for path in sorted((directory / folder).rglob("*")) if path.is_file())


def module_folders(directory: Path) -> tuple[str, ...]:
    """Return the folders that modules.json names; there are none without this file.

    Raises:
        SpaceError: the file is not a list of modules, or names a folder outside of the directory.
    """
    found = []
    for module in read_modules(directory):
        path = PurePosixPath(module.get("path", ""))
        if path.is_absolute() or ".." in path.parts or "\\" in str(path):
            raise SpaceError(f"{directory / MODULES}: expected folders beside it, found {str(path)!r}")
        if path.parts:
            found.append(str(path))
    return tuple(dict.fromkeys(found))


def read_modules(directory: Path) -> Sequence[Mapping[str, Any]]:
    """Return the modules that modules.json lists; none where there is no such file."""
    file = directory / MODULES
    if not file.is_file():
        return ()
    try:
        modules = json.loads(content_of(file).decode())
    except (OSError, ValueError, RecursionError) as error:
        raise SpaceError(f"{file}: expected JSON, found what cannot be read ({in_brief(error)})") from error
    if not isinstance(modules, list) or not all(
        isinstance(module, dict) and isinstance(module.get("path", ""), str) for module in modules
    ):
        raise SpaceError(f"{file}: expected a list of modules with a path each, found something else")
    return modules


def weights_name(directory: Path) -> str:
    """Return what a checkpoint's weight files are called: `model`, or `diffusion_pytorch_model` of diffusers."""
    return next((name for name in WEIGHTS_NAMES if _holds(directory, name)), WEIGHTS_NAMES[0])


def has_weights(directory: Path) -> bool:
    """Return whether a directory holds a checkpoint's weights."""
    return _holds(directory, weights_name(directory))


def index_of(name: str) -> str:
    """Return the file that says which shard holds which tensor."""
    return f"{name}.safetensors.index.json"


def _holds(directory: Path, name: str) -> bool:
    return (directory / f"{name}.safetensors").is_file() or (directory / index_of(name)).is_file()
