"""What only transformers knows about an architecture: its module, and how its checkpoints name the module's weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.errors import SpaceError
from search_spaces.weights.parents import Checkpoint


def build_module(checkpoint: Checkpoint, *, compute_dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return a causal language model of a checkpoint's architecture, in eval mode, with undefined weights.

    The weights are allocated but not initialised: `ResidentModel.become` writes them all.

    Args:
        checkpoint: its config.json says which architecture; its code, if it brings any, is never run.
        compute_dtype: of all weights.

    Raises:
        SpaceError: transformers has no causal language model for the config.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig
    from transformers.initialization import no_init_weights

    try:
        config = AutoConfig.from_pretrained(checkpoint.directory, trust_remote_code=False)
        config.tie_word_embeddings = checkpoint.tied
        if "vocab_size" in checkpoint.config:  # a mapped vocabulary has other rows than the file tells
            config.vocab_size = checkpoint.config["vocab_size"]
        with no_init_weights():
            module = AutoModelForCausalLM.from_config(config, dtype=compute_dtype, trust_remote_code=False)
    except (ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise SpaceError(
            f"{checkpoint.directory}: expected a causal language model that transformers knows, found model_type "
            f"{checkpoint.config.get('model_type')!r} ({error})"
        ) from error
    module.tie_weights()
    if (checkpoint.directory / "generation_config.json").is_file():
        module.generation_config = GenerationConfig.from_pretrained(checkpoint.directory)
    evaluated: nn.Module = module.eval()
    return evaluated


def checkpoint_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return views of a module's weights under the names that its checkpoints use.

    For most architectures this is the state dict. Where transformers fuses a checkpoint's tensors into one parameter
    (experts, for example), each of them becomes a view of its part.

    Raises:
        SpaceError: a parameter is not made of plain parts of checkpoint tensors.
    """
    from transformers import PreTrainedModel
    from transformers.conversion_mapping import get_model_conversion_mapping

    state: dict[str, Tensor] = dict(module.state_dict())
    if not isinstance(module, PreTrainedModel) or not get_model_conversion_mapping(module, add_legacy=False):
        return state
    return {name: view for key, tensor in state.items() for name, view in _parts(module, key, tensor).items()}


def _parts(module: Any, key: str, tensor: Tensor) -> dict[str, Tensor]:
    """Let transformers split a tensor of element numbers, and read off which elements each part holds."""
    from transformers.core_model_loading import revert_weight_conversion

    numbers = torch.arange(tensor.numel()).view(tensor.shape)
    parts = revert_weight_conversion(module, {key: numbers})
    return {name: _view(tensor, part, name) for name, part in parts.items()}


def _view(tensor: Tensor, numbers: Tensor, name: str) -> Tensor:
    first = int(numbers.flatten()[0]) if numbers.numel() else 0
    strides = [
        int(numbers.select(d, 1).flatten()[0]) - first if size > 1 else 1 for d, size in enumerate(numbers.shape)
    ]
    try:
        elements = torch.arange(tensor.numel()).as_strided(numbers.shape, strides, first)
    except RuntimeError:  # a negative stride, or beyond the end
        elements = torch.empty(0)
    if not tensor.is_contiguous() or not elements.equal(numbers):
        raise SpaceError(f"{name}: expected a plain part of one of the model's parameters, found a permuted one")
    return tensor.as_strided(numbers.shape, strides, tensor.storage_offset() + first)
