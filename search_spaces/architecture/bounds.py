"""What a config.json may ask for before a module is made of it: a number in it must not cost hours, or all memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from search_spaces.architecture.stacks import DEPTH_KEYS

_DEPTHS = ("depths", "layers_block_type", "n_blocks", "num_layers_per_block", "num_hidden_groups")
# No model is so deep, and a config of more layers takes for ever to become one.
MOST_LAYERS = 10_000
# A layer has some tensors, and a module without any has few of its kind beside it: more is a config that is wrong.
_MODULES_PER_TENSOR, _FEW_TENSORS = 50, 100


def check_depths(config_json: Any, most: int, key: object = "") -> None:
    """Do nothing if no setting of a config asks for more layers than `most`; nothing is made of the config.

    Raises:
        ValueError: one does.
    """
    if isinstance(config_json, Mapping):
        for inner, value in config_json.items():
            check_depths(value, most, inner)
    elif isinstance(config_json, list):
        for value in config_json:
            check_depths(value, most, key)
    elif (key in DEPTH_KEYS or key in _DEPTHS) and isinstance(config_json, int | float) and not config_json <= most:
        raise ValueError(f"{key}: expected at most {most:,} layers, found {config_json:,}")


@contextmanager
def few_modules(n_tensors: int) -> Iterator[None]:
    """Raise a ValueError when this thread makes many more modules than a checkpoint of so many tensors can fill."""
    from torch.nn.modules.module import register_module_module_registration_hook

    most, made, thread = _MODULES_PER_TENSOR * max(n_tensors, _FEW_TENSORS), 0, threading.get_ident()

    def count(*_: object) -> None:
        nonlocal made
        made += threading.get_ident() == thread
        if made > most:
            raise ValueError(f"it asks for more than {most:,} modules, but the files have {n_tensors:,} tensors")

    hook = register_module_module_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
