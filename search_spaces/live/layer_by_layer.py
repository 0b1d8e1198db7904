"""RegMean++: Gram matrices of what each layer is given by the merged layers before it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from search_spaces.architecture.parts import Part
from search_spaces.errors import SpaceError
from search_spaces.layers.layer_behaviour import layer_of, layers_of, main_path
from search_spaces.live.file_names import FileNames
from search_spaces.live.one_layer import OneLayer
from search_spaces.operators.least_squares import least_squares
from search_spaces.parents.parents import Parents
from search_spaces.statistics.grams import Grams, Read, collect_grams
from search_spaces.statistics.store import StatisticsStore, together

# With these the layers before are merged; what an operator does with the statistics is free.
_OFF_DIAGONAL, _RIDGE = 1.0, 1e-4


@torch.no_grad()
def collect_merged_grams(
    module: nn.Module,
    parents: Parents,
    reads: Mapping[str, Read],
    *,
    store: StatisticsStore,
    digests: Mapping[str, str],
) -> None:
    """Write each parent's `merged_gram` statistics, layer by layer through the merge of all of them.

    Layer l of each parent runs on what the merged layers before l gave for that parent's prompts; its Gram matrices
    merge layer l by RegMean of equal weights (`least_squares`, all of the off-diagonal, ridge 1e-4), and the merged
    layer gives what the next ones are given. What has no Gram matrix is averaged, embeddings too. Time: each prompt
    goes twice through each layer. Memory: the module, one layer's Gram matrices of every parent, and the hidden states
    of all prompts.

    Args:
        module: of the parents' architecture, with layers in a row; its weights are overwritten, and are the RegMean++
            merge but for the last layer in the end.
        parents: opened, with tensors of the same names.
        reads: parent -> runs the module over that parent's prompts.
        store: where statistics go.
        digests: parent -> digest of its statistics; the parents of `reads`.

    Raises:
        SpaceError: the module has no layers, a parent lacks a tensor, or an input is not finite.

    Reference: Nguyen et al. 2025, "RegMean++" (arXiv 2508.03121), algorithm 1.
    """
    merge = _Merge(module, parents, tuple(reads))
    layers = layers_of(module)
    if not layers:
        raise SpaceError("regmean_plus: expected a model with layers in a row, found none; use regmean")
    merge.average_outside()
    passes = {name: OneLayer(layers, read) for name, read in reads.items()}
    whole = together(digests.values())
    n_names = 2 * len(merge.names)
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(store.writing(digests[name], "merged_gram", n_names, whole)) for name in reads
        }
        for index in range(len(layers)):
            grams: dict[str, Grams] = {}
            for name, one in passes.items():
                merge.load(index, name)
                grams[name] = collect_grams(module, one.read, weights=merge.parts(index))
                for key, gram in grams[name].tensors.items():
                    writers[name].add(key, gram)
                writers[name].shares.update(grams[name].shares)
                writers[name].input_first.update(grams[name].input_first)
            if index + 1 < len(layers):
                merge.merge(index, grams)
                for one in passes.values():
                    one.advance(module)


class _Merge:
    """A module whose weights become one parent's, or the merge, layer by layer."""

    def __init__(self, module: nn.Module, parents: Parents, names: tuple[str, ...]) -> None:
        self._state = module.state_dict()
        self._parents, self._names = parents, names
        present, path = set(parents[names[0]].names), main_path(module)
        self._weights: dict[int | None, list[tuple[str, Part, str]]] = {}  # layer -> (parameter, part, tensor's name)
        files = FileNames(module, parents[names[0]])
        for key, weight in self._state.items():
            for part in files.of(key, weight):
                if part.name in present:
                    self._weights.setdefault(layer_of(key, path), []).append((key, part, part.name))
        self.names = [source for some in self._weights.values() for _, _, source in some]

    def parts(self, index: int) -> dict[str, list[Part]]:
        """Return the parameters of a layer, with the parts as the parents name them."""
        found: dict[str, list[Part]] = {}
        for key, part, source in self._weights[index]:
            found.setdefault(key, []).append(Part(source, part.shape, part.strides, part.offset))
        return found

    def average_outside(self) -> None:
        """Average everything outside the layers."""
        for key, part, source in self._weights.get(None, ()):
            self._set(key, part, _mean(self._tensors(source)))

    def load(self, index: int, name: str) -> None:
        """Let a layer be one parent's."""
        for key, part, source in self._weights[index]:
            self._set(key, part, self._parents[name].tensor(source))

    def merge(self, index: int, grams: Mapping[str, Grams]) -> None:
        """Let a layer be merged by RegMean."""
        for key, part, source in self._weights[index]:
            tensors = self._tensors(source)
            keys = [grams[name].shares.get(source) for name in self._names]
            known = [grams[name].tensors[k] for name, k in zip(self._names, keys, strict=True) if k is not None]
            if len(known) < len(keys):
                self._set(key, part, _mean(tensors))
                continue
            turned = any(source in grams[name].input_first for name in self._names)
            facing = [tensor.mT if turned else tensor for tensor in tensors]
            solved = least_squares(facing, known, [1.0] * len(known), _OFF_DIAGONAL, _RIDGE)
            self._set(key, part, solved.mT if turned else solved)

    def _set(self, key: str, part: Part, value: Tensor) -> None:
        part.of(self._state[key]).copy_(value)

    def _tensors(self, source: str) -> list[Tensor]:
        return [self._parents[name].tensor(source) for name in self._names]


def _mean(tensors: list[Tensor]) -> Tensor:
    first, *others = tensors
    if not first.is_floating_point():
        return first
    return first.float() + sum(((tensor.float() - first.float()) / len(tensors) for tensor in others), torch.zeros(()))
