"""The hidden states that are kept along a path of layers, and models that begin there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn


class PathStates:
    """Hidden states after some layers of the current path, the deepest last; at most `memory` bytes of them."""

    def __init__(self, memory: int) -> None:
        self._free = memory
        self._stack: list[tuple[int, Any]] = []  # after how many layers, the last one's output

    @property
    def depth(self) -> int:
        """How many layers need not be executed."""
        return self._stack[-1][0] if self._stack else 0

    def leave(self, depth: int) -> None:
        """Forget the states after more than `depth` layers: the path goes on in another way from there."""
        while self.depth > depth:
            self._free += _hidden(self._stack.pop()[1]).nbytes

    @contextmanager
    def entered(self, layers: Sequence[nn.Module], depths: Collection[int]) -> Iterator[None]:
        """Let a model, whose layers stand in the order of execution, begin at the deepest state.

        States after `depths` layers are kept, where they fit in memory.
        """
        start = self.depth
        forwards: dict[nn.Module, Callable[..., Any]] = {}
        if start:
            ignored, state = _copied(self._stack[-1][1]), _copied(self._stack[-1][1])
            forwards.update(dict.fromkeys(layers[: start - 1], lambda *_, **__: ignored))
            forwards[layers[start - 1]] = lambda *_, **__: state
        for depth in depths:
            if depth > start:
                forwards[layers[depth - 1]] = partial(self._keep, layers[depth - 1].forward, depth)
        with _replaced(forwards):
            yield

    def _keep(self, forward: Callable[..., Any], depth: int, *inputs: Any, **arguments: Any) -> Any:
        output = forward(*inputs, **arguments)
        n_bytes = _hidden(output).nbytes
        if n_bytes <= self._free:
            self._free -= n_bytes
            self._stack.append((depth, _copied(output)))
        return output


@contextmanager
def _replaced(forwards: dict[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    """Let modules run other functions. Not by hooks: shallow clones of a module share those."""
    own = {module: vars(module)["forward"] for module in forwards if "forward" in vars(module)}
    try:
        for module, forward in forwards.items():
            vars(module)["forward"] = forward
        yield
    finally:
        for module in forwards:
            vars(module).pop("forward", None)
        for module, forward in own.items():
            vars(module)["forward"] = forward


def _hidden(output: Any) -> torch.Tensor:
    """Return the hidden states in what a layer returned: alone, or the first of several."""
    hidden: torch.Tensor = output if isinstance(output, torch.Tensor) else output[0]
    return hidden


def _copied(output: Any) -> Any:
    """Return what a layer returned with hidden states of its own: a model may write into those that it is given."""
    hidden = _hidden(output).clone()
    return hidden if isinstance(output, torch.Tensor) else (hidden, *output[1:])
