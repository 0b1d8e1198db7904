"""What Gram matrices of a model take, from the shapes of its weights alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from search_spaces.statistics.gram_pass import mark_of
from search_spaces.statistics.gram_sum import gram_bytes
from search_spaces.statistics.grams import DEFAULT_LIMIT_BYTES
from search_spaces.statistics.layer_parameters import is_packed, layer_parameters
from search_spaces.statistics.products import Product, WeightProducts


@dataclass(frozen=True)
class Needs:
    """What collecting the Gram matrices of one parent takes.

    Attributes:
        disk_bytes: of the file.
        memory_bytes: of the sums in the pass that holds most, beside the model and its activations.
        n_passes: how often the prompts are read.
    """

    disk_bytes: int
    memory_bytes: int
    n_passes: int


@torch.no_grad()
def gram_needs(module: nn.Module, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> Needs:
    """Return what the Gram matrices of a causal language model take; no weight is read.

    Which layers share an input is found by a forward pass on the meta device; where a model cannot be run there, each
    layer counts as if it had an input of its own, which is too much.

    Llama-3-8B: 32.7 GB on disk, and in memory if there is no limit; five passes with 8 GB.

    Args:
        module: on the meta device: made under `torch.device("meta")`, e.g. by `architecture.module_of`.
        limit_bytes: as in `grams.write_grams`.
    """
    parameters = layer_parameters(module)
    sizes = _packed(module, parameters)
    try:
        sizes = _leaders(module, parameters) + sizes
    except (RuntimeError, NotImplementedError, TypeError, ValueError, IndexError):  # as data decides what is run
        sizes = _each(module, parameters) + sizes
    passes = _passes([gram_bytes(n) for n in sizes], limit_bytes)
    return Needs(sum(4 * n * n for n in sizes), max(passes, default=0), len(passes))


def _leaders(module: nn.Module, parameters: dict[str, Tensor]) -> list[int]:
    """Return n of each input that layers have, in the order of a forward pass; fused experts are left out."""
    found: dict[object, int] = {}
    held: list[Product] = []  # so that no two tensors are told apart by an address alone

    def tell(product: Product) -> None:
        held.append(product)
        found.setdefault(mark_of(product), product.n_inputs)

    for setting in ("set_attn_implementation", "set_experts_implementation"):
        can = getattr(module, f"_can_{setting}", None)
        if can is not None and can():
            getattr(module, setting)("eager" if "attn" in setting else "batched_mm")
    ids = torch.zeros(1, 2, dtype=torch.long, device="meta")
    with WeightProducts({n: p for n, p in parameters.items() if not is_packed(module, n)}, tell):
        module(input_ids=ids, attention_mask=torch.ones_like(ids))
    return list(found.values())


def _packed(module: nn.Module, parameters: dict[str, Tensor]) -> list[int]:
    """Return n of each fused expert's matrices."""
    sizes: list[int] = []
    for name, parameter in parameters.items():
        if is_packed(module, name):
            owner = module.get_submodule(name.rpartition(".")[0])
            sizes += [parameter.shape[-2 if getattr(owner, "is_transposed", False) else -1]] * len(parameter)
    return sizes


def _each(module: nn.Module, parameters: dict[str, Tensor]) -> list[int]:
    """Return n of each layer, as if none shared its input."""
    owners = {name: module.get_submodule(name.rpartition(".")[0]) for name in parameters}
    return [int(parameters[name].shape[1]) for name, owner in owners.items() if isinstance(owner, nn.Linear)]


def _passes(sizes: Sequence[int], limit_bytes: int) -> list[int]:
    """Return the bytes that each pass holds; a pass takes what still fits, in order, and at least one."""
    passes: list[int] = []
    left = list(sizes)
    while left:
        held, later = 0, []
        for size in left:
            if held and held + size > limit_bytes:
                later.append(size)
            else:
                held += size
        passes.append(held)
        left = later
    return passes
