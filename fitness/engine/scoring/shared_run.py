"""Runs a packed layout through several models, each layer that they have in common once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fitness.engine.language_model import Answer
from fitness.engine.model.forward import device_of
from fitness.engine.scoring.layer_trie import LayeredModel, LayerTrie
from fitness.engine.scoring.packed import PackedLayout
from fitness.engine.scoring.packing import Chunk
from fitness.engine.scoring.path_states import PathStates
from fitness.engine.scoring.readout import Reading
from fitness.engine.scoring.ready_chunks import ReadyChunk
from fitness.engine.scoring.tree_attention import KeysAndValues, TreeAttention
from fitness.errors import FitnessError

KeysOfNodes = dict[int, KeysAndValues]  # node of the trie -> keys and values


@dataclass(frozen=True)
class LayerCounts:
    """Executions of layers, one for each layer of each forward pass."""

    asked: int = 0  # by models that run one by one
    run: int = 0  # when what they have in common runs once

    def __add__(self, other: LayerCounts) -> LayerCounts:
        return LayerCounts(self.asked + other.asked, self.run + other.run)


class SharedRun:
    """One run of a layout through several models of one kind, in the order in which a `LayerTrie` visits them.

    In each chunk the models are visited depth-first over the trie of their layers. Hidden states are kept where later
    models leave the path, as long as they fit in memory: what is not kept is computed again. Keys and values that later
    chunks need belong to a node of the trie. As many of the first models are run as `memory`, in bytes for all that is
    kept, takes, at least one.
    """

    def __init__(self, layout: PackedLayout, models: Sequence[LayeredModel], memory: int) -> None:
        self._layout = layout
        self._trie = LayerTrie(models)
        self._models = [
            _Visited(models[i], self._trie.paths[i], self._trie.branches(i), layout.readout.start())
            for i in range(len(models))
        ]
        self._memory = memory // 3  # for states; for the keys and values of the last chunk; for those of this one
        self._most_kept = max((len(chunk.keep) for chunk in layout.chunks), default=0)
        self.layers = LayerCounts()

    def run(self) -> None:
        """Run every chunk; raises torch.OutOfMemoryError where a forward pass does not fit."""
        known: KeysOfNodes = {}
        for chunk in self._layout.chunks:
            known = self._run_chunk(chunk, known)

    def answers(self) -> list[list[Answer] | FitnessError]:
        """Return, for as many of the first models as were run, all windows' answers or what is wrong with the model."""
        return [visited.answers(self._layout) for visited in self._models]

    def _run_chunk(self, chunk: Chunk, known: KeysOfNodes) -> KeysOfNodes:
        """Run one chunk after the keys and values that are known; return those that later chunks need."""
        device = device_of(self._models[0].layered.model)
        ready = self._layout.ready.of(chunk, device)
        masks = ready.masks()  # of all models
        states = PathStates(self._memory)
        kept: KeysOfNodes = {}
        for i, visited in enumerate(self._models):
            states.leave(self._trie.shared[i])
            if visited.error is not None:
                continue
            context = {layer: known[node] for layer, node in enumerate(visited.path) if node in known}
            attention = TreeAttention(masks, ready.keep, context)
            self.layers += LayerCounts(asked=len(visited.path), run=len(visited.path) - states.depth)
            visited.run(self._layout, ready, attention, states)
            kept.update((visited.path[layer], pair) for layer, pair in attention.kept.items())
            if self._outgrows_memory(kept, chunk):
                del self._models[i + 1 :]
        return kept

    def _outgrows_memory(self, kept: KeysOfNodes, chunk: Chunk) -> bool:
        """Say whether these nodes will keep too much, in this chunk or in the one that keeps most."""
        n_bytes = sum(tensor.nbytes for pair in kept.values() for tensor in pair)
        return n_bytes * self._most_kept > self._memory * len(chunk.keep)


@dataclass
class _Visited:
    layered: LayeredModel
    path: Sequence[int]  # the trie's node of each of its layers
    branches: set[int]  # after how many of them later models leave the path
    reading: Reading
    error: FitnessError | None = None  # what is wrong with it; it is run no further

    def run(self, layout: PackedLayout, ready: ReadyChunk, attention: TreeAttention, states: PathStates) -> None:
        try:
            with states.entered(self.layered.layers, self.branches):
                layout.forward(self.layered.model, ready, attention, self.reading)
        except FitnessError as error:
            self.error = error

    def answers(self, layout: PackedLayout) -> list[Answer] | FitnessError:
        if self.error is not None:
            return self.error
        try:
            return [layout.readout.answer(window, self.reading) for window in range(layout.readout.n_windows)]
        except FitnessError as error:
            return error
