"""A model's own forward passes with all layers but one left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from search_spaces.statistics.grams import Note, Read


class OneLayer:
    """Reads prompts through one layer at a time; what goes in is what the layers before gave.

    The model's own forward pass runs, so that its layers get their masks, position embeddings and cached keys, whatever
    they are and whoever arranged them. The layers before give what they gave when it was their turn; those after give
    what the one layer gave. A whole pass through the model costs as much as one through each of its layers.

    Each layer's output is kept until the next one's takes its place: the hidden states of all prompts.
    """

    def __init__(self, layers: Sequence[nn.Module], read: Read) -> None:
        """Begin before the first layer."""
        self._layers, self._read = layers, read
        self._given: dict[int, Any] = {}  # pass -> what the layers before gave
        self.index = 0  # of the layer that runs

    def read(self, model: nn.Module, note: Note) -> None:
        """Read the prompts through the layer; a `Read`."""
        self._pass(model, note, keep=False)

    def advance(self, model: nn.Module) -> None:
        """Read the prompts through the layer for the last time, and go on to the next one."""
        self._pass(model, lambda _: None, keep=True)
        self.index += 1

    def _pass(self, model: nn.Module, note: Note, *, keep: bool) -> None:
        n_passes = 0
        latest: Any = None

        def begin(counts: Tensor) -> None:
            nonlocal n_passes
            n_passes += 1
            note(counts)

        def before(*_: Any, **__: Any) -> Any:
            return self._given[n_passes]

        def after(*_: Any, **__: Any) -> Any:
            return latest

        own = self._layers[self.index].forward

        def now(*args: Any, **kwargs: Any) -> Any:
            nonlocal latest
            latest = own(*args, **kwargs)
            if keep:
                self._given[n_passes] = latest
            return latest

        actions = [before] * self.index + [now] + [after] * (len(self._layers) - self.index - 1)
        with _acting(self._layers, actions):
            self._read(model, begin)


@contextmanager
def _acting(layers: Sequence[nn.Module], actions: Sequence[Callable[..., Any]]) -> Iterator[None]:
    """Let layers do something else meanwhile."""
    own = [layer.forward for layer in layers if "forward" in vars(layer)]
    assert not own, "another has replaced what the layers do"
    try:
        for layer, action in zip(layers, actions, strict=True):
            layer.forward = action
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)
