"""Which of a module's parameters are layers' matrices, and how fused experts are run so that each can be seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from search_spaces.architecture.parts import Part
from search_spaces.statistics.token_counts import expert_path


def layer_parameters(model: nn.Module) -> dict[str, Tensor]:
    """Return the matrices that layers multiply with: no vectors, no embeddings, nothing tied to those, no head."""
    find = getattr(model, "get_output_embeddings", None)
    head = None if find is None else find()
    outside = [m for m in model.modules() if isinstance(m, nn.Embedding)] + ([] if head is None else [head])
    excluded = {id(p) for m in outside for p in m.parameters(recurse=False)}
    return {n: p for n, p in model.named_parameters() if p.dim() >= 2 and id(p) not in excluded}


def is_packed(model: nn.Module, weight: str) -> bool:
    """Return whether a parameter holds the matrices of all experts, (E, ...)."""
    owner, _, name = weight.rpartition(".")
    module = model.get_submodule(owner)
    return getattr(module, name).dim() == 3 and not isinstance(module, _ConvNd)


def split_experts(model: nn.Module, parts: Mapping[str, Sequence[Part]]) -> set[str]:
    """Return the packed parameters of which the checkpoint has a tensor for each expert."""
    return {name for name, some in parts.items() if is_packed(model, name) and all(len(p.shape) == 2 for p in some)}


def expert_index(part: Part, parameter: Tensor) -> int:
    """Return which expert of a packed parameter a checkpoint's tensor is of."""
    return part.offset // (parameter.numel() // len(parameter))


def routers(model: nn.Module, weights: Iterable[str]) -> list[nn.Module]:
    """Return the modules that are given all tokens, and give each to some of their experts."""
    paths: dict[str, None] = {}
    for weight in weights:
        expert = expert_path(weight)
        if is_packed(model, weight):
            paths[weight.rpartition(".")[0]] = None
        elif expert is not None:  # block.experts.3: it is the block that chooses
            paths[expert.rpartition(".")[0].rpartition(".")[0]] = None
    return [model.get_submodule(path) for path in paths]


@contextmanager
def experts_one_by_one(model: nn.Module) -> Iterator[None]:
    """Let transformers run each fused expert by itself meanwhile, with its slice of the weights."""
    from transformers import PreTrainedModel

    if not isinstance(model, PreTrainedModel) or not model._can_set_experts_implementation():
        yield
        return
    before = model.get_experts_implementation()
    model.set_experts_implementation("eager")
    try:
        yield
    finally:
        model.set_experts_implementation(before)
