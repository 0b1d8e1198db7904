"""Which layers several models have in common, as a trie over the layers that each executes.

Models are compared by the attribute `layer_key` of their decoder layers: equal keys are equal functions of hidden
states and positions.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, takewhile

from torch import nn

from fitness.engine.scoring.token_trie import n_common

_KEY = "layer_key"


@dataclass(frozen=True, eq=False)
class LayeredModel:
    """A model whose layers can be told from each other."""

    model: nn.Module  # the model
    layers: tuple[nn.Module, ...]  # its decoder layers in the order of execution, each with a `layer_key`

    @property
    def path(self) -> tuple[Hashable, ...]:
        """What stands before the layers, then each layer's key."""
        return _stem(self.model, self.layers), *(getattr(layer, _KEY) for layer in self.layers)


def layered(model: nn.Module) -> LayeredModel | None:
    """Return a model with its layers, or None where they have no `layer_key` or are not one list of layers."""
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    keyed = [module for module in model.modules() if hasattr(module, _KEY)]
    layers = next((tuple(children) for children in lists if keyed and list(children) == keyed), None)
    return None if layers is None else LayeredModel(model, layers)


class LayerTrie:
    """Paths of layers in the order in which a depth-first walk over their trie visits them."""

    def __init__(self, models: Sequence[LayeredModel]) -> None:
        nodes: dict[tuple[int, Hashable], int] = {}
        paths = []
        for model in models:
            path = [-1]
            for key in model.path:
                path.append(nodes.setdefault((path[-1], key), len(nodes)))
            paths.append(tuple(path[2:]))
        # Places in `models`, as they are visited; per visited model, the trie's node of each of its layers, and how
        # many first layers it has in common with the one visited before it: (n_models + 1,), 0 at both ends.
        self.order = sorted(range(len(models)), key=lambda place: paths[place])
        self.paths = [paths[place] for place in self.order]
        self.shared = [0, *(n_common(a, b) for a, b in pairwise(self.paths)), 0]

    def branches(self, visited: int) -> set[int]:
        """Return after how many of its layers later models leave the path of a visited one."""
        depths = set()
        depth = self.shared[visited + 1]
        for shared in takewhile(bool, self.shared[visited + 1 :]):
            depth = min(depth, shared)
            depths.add(depth)
        return depths


def _stem(model: nn.Module, layers: Sequence[nn.Module]) -> Hashable:
    """Return where the weights lie that make hidden states of tokens: embeddings, and what precedes the layers."""
    of_layers = {id(parameter) for layer in layers for parameter in layer.parameters()}
    before = takewhile(lambda parameter: id(parameter) not in of_layers, model.parameters())
    find = getattr(model, "get_input_embeddings", None)
    embeddings = find().parameters() if find is not None else ()
    return tuple((weight.data_ptr(), weight.shape, weight.stride()) for weight in chain(before, embeddings))
