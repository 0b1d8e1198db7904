"""A device that is no CPU, for machines that have no other: it computes on the CPU but refuses the CPU's tensors.

Its tensors say that they lie on torch's "meta" device. As on a GPU, an operation on one of them and on a tensor of the
CPU with more than one number is an error, and so is `numpy()`; numbers can be read, and copies made.
"""

# mypy: disable-error-code="no-untyped-call, override, misc, attr-defined, unused-ignore"

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

ELSEWHERE = torch.device("meta")
_COPIES = ("aten::_to_copy", "aten::copy_")


class _There(Tensor):
    """A tensor there; `held` is what it is computed with."""

    held: Tensor

    @staticmethod
    def __new__(cls: type[_There], held: Tensor) -> _There:
        made: _There = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=ELSEWHERE,
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


class _Elsewhere(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


@contextmanager
def elsewhere() -> Iterator[torch.device]:
    """Give the device, which is one as long as the context lasts."""
    with _Elsewhere():
        yield ELSEWHERE


def _run(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    seen = [t for t in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    there = any(isinstance(t, _There) for t in seen)
    name, wanted = function.name().split(".")[0], kwargs.get("device")
    if wanted is not None:
        there = torch.device(wanted).type == "meta"
        kwargs = {**kwargs, "device": "cpu"}
    if name not in _COPIES and any(isinstance(t, _There) for t in seen):
        indices = seen[1:] if name in ("aten::index", "aten::index_put_") else []
        mixed = [t for t in seen if not isinstance(t, _There) and t.dim() and not any(t is i for i in indices)]
        assert not mixed, f"{name}: tensors of the CPU beside others: {[tuple(t.shape) for t in mixed]}"
    if name == "aten::copy_":
        there = isinstance(args[0], _There)
    found = function(*tree_map(_held, args), **tree_map(_held, kwargs))
    if function._schema.is_mutable and seen and isinstance(found, Tensor):
        return next((t for t in seen if _held(t) is found), found)
    if name == "aten::_to_copy" and not there:
        return found
    return tree_map(lambda t: _There(t) if there and isinstance(t, Tensor) else t, found)


def _held(value: Any) -> Any:
    return value.held if isinstance(value, _There) else value
