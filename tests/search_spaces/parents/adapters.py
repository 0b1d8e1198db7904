"""Tiny LoRA adapters, trained by nobody: random factors in peft's format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def save_adapter(base: Path, directory: Path, *, seed: int = 0, **settings: Any) -> Path:
    """Put an adapter on a checkpoint with peft, give it random values and save it.

    `settings` go to `peft.LoraConfig`; what is trained and not a factor (modules_to_save, biases) is moved too.
    """
    import peft
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    config = peft.LoraConfig(**{"r": 4, "target_modules": ["q_proj", "down_proj"], **settings})
    adapted = peft.get_peft_model(model, config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    adapted.save_pretrained(directory)
    return directory


def materialised(base: Path, adapter: Path, directory: Path) -> Path:
    """Save the model that an adapter makes of its base, as peft merges it."""
    import peft
    from transformers import AutoModelForCausalLM

    model = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    model.merge_and_unload().save_pretrained(directory)
    return directory
