"""Gram matrices of what a model's layers are given over prompts: what RegMean and its kin know of a parent.

A Gram matrix is E x x^T over tokens, x one layer's input. Layers of one input (q, k and v; gate and up) have it once.
Of experts it is E [routed] x x^T over *all* tokens, so that experts which see few tokens count less; one that sees none
has zeros. Embeddings and the output layer have none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from search_spaces.architecture.parts import Part
from search_spaces.statistics.gram_pass import GramPasses
from search_spaces.statistics.layer_parameters import experts_one_by_one

Note = Callable[[Tensor], None]
# Runs a model over prompts. Before each forward pass it calls the function that it is given with counts (n_tokens,):
# how often each token of the coming pass occurs in the prompts, in the flattened order of the model's inputs; 0 for
# padding. Called again, it does the same again.
Read = Callable[[nn.Module, Note], None]

DEFAULT_LIMIT_BYTES = 8 * 10**9


@dataclass(frozen=True)
class Grams:
    """Gram matrices as `StatisticsStore.write` takes them.

    Attributes:
        tensors: name -> (n, n), or (E, n, n) of experts that the checkpoint stacks and of a convolution's groups;
            float32, on the CPU, symmetric.
        shares: checkpoint's tensor -> which of `tensors` is its Gram matrix.
        input_first: the checkpoint's tensors that are stored as (n, o) or (E, n, o), as GPT-2's are.
    """

    tensors: dict[str, Tensor]
    shares: dict[str, str]
    input_first: frozenset[str]


class Sharing(NamedTuple):
    """Whose Gram matrix is whose, once all of them are written."""

    shares: dict[str, str]
    input_first: frozenset[str]


def collect_grams(
    model: nn.Module,
    read: Read,
    *,
    weights: Mapping[str, Sequence[Part]],
    limit_bytes: int = DEFAULT_LIMIT_BYTES,
) -> Grams:
    """Return the Gram matrices of a model's layers over prompts, all of them in memory; see `write_grams`.

    Example:
        >>> from search_spaces.architecture.parts import checkpoint_parts
        >>> model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU())
        >>> def read(model, note):
        ...     note(torch.ones(4))
        ...     model(torch.eye(2).repeat(2, 1))
        >>> grams = collect_grams(model, read, weights=checkpoint_parts(model, model.state_dict()))
        >>> grams.tensors["0.weight"]
        tensor([[0.5000, 0.0000],
                [0.0000, 0.5000]])
    """
    tensors: dict[str, Tensor] = {}
    sharing = write_grams(model, read, weights=weights, write=tensors.__setitem__, limit_bytes=limit_bytes)
    return Grams(tensors, *sharing)


def write_grams(
    model: nn.Module,
    read: Read,
    *,
    weights: Mapping[str, Sequence[Part]],
    write: Callable[[str, Tensor], None],
    limit_bytes: int = DEFAULT_LIMIT_BYTES,
) -> Sharing:
    """Collect the Gram matrices of a model's layers over prompts, in as many passes as memory asks for.

    How many passes there are does not change a bit of them.

    Args:
        model: in evaluation mode; fused experts are run one by one meanwhile.
        read: runs the model over the prompts, once per pass.
        weights: module's parameter -> the checkpoint's tensors in it: `architecture.checkpoint_parts`.
        write: is given the name and the Gram matrix, once for each.
        limit_bytes: how much the sums may take in memory; one layer's are collected even where they take more.

    Returns:
        Whose Gram matrix is whose.

    Raises:
        SpaceError: an input is not finite, or it is not known which tokens it belongs to.
    """
    passes = GramPasses(model, weights, limit_bytes)
    with torch.no_grad(), experts_one_by_one(model):
        while True:
            with passes.watching():
                read(model, passes.note)
            for name, gram in passes.finished():
                write(name, gram)
            if not passes.left:
                break
    for name, gram in passes.zeros():
        write(name, gram)
    return Sharing(passes.shares(), frozenset(passes.input_first))
