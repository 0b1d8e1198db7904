"""Tiny LoRA adapters, trained by nobody: random factors in peft's format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from search_spaces.parents.checkpoint import Checkpoint


def trained(model: Any, *, seed: int = 0, **settings: Any) -> Any:
    """Return a model with an adapter of random values on it.

    `settings` go to `peft.LoraConfig`; what is trained and not a factor (modules_to_save, biases) is moved too.
    """
    import peft

    config = peft.LoraConfig(**{"r": 4, "target_modules": ["q_proj", "down_proj"], **settings})
    adapted = peft.get_peft_model(model, config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return adapted.eval()


def save_adapter(base: Path, directory: Path, *, seed: int = 0, **settings: Any) -> Path:
    """Put an adapter on a checkpoint with peft, give it random values and save it."""
    from transformers import AutoModelForCausalLM

    trained(AutoModelForCausalLM.from_pretrained(base), seed=seed, **settings).save_pretrained(directory)
    return directory


def loaded(checkpoint: Checkpoint, directory: Path, kind: Any) -> Any:
    """Return what transformers makes of a checkpoint's tensors and config, as a model of a class, nothing missing."""
    directory.mkdir()
    tensors = {name: checkpoint.tensor(name).clone().contiguous() for name in checkpoint.names}
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    (directory / "config.json").write_text(json.dumps(dict(checkpoint.config)))
    model, info = kind.from_pretrained(directory, output_loading_info=True)
    assert not any(info.values()), info
    return model.eval()


def materialised(base: Path, adapter: Path, directory: Path) -> Path:
    """Save the model that an adapter makes of its base, as peft merges it."""
    import peft
    from transformers import AutoModelForCausalLM

    model = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    model.merge_and_unload().save_pretrained(directory)
    return directory
