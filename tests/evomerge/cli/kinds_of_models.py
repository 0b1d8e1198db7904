"""Three tiny checkpoints of each kind of model that people search, saved as the hub and their own tools save them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file

from tests.conftest import save_tokenizer
from tests.search_spaces.architectures.former import save_as_version_4
from tests.search_spaces.architectures.models import stirred
from tests.search_spaces.architectures.tiny import tiny_config

Save = Callable[[Any, Path], object]


def _plainly(model: Any, directory: Path) -> None:
    model.save_pretrained(directory)


def _packed(model: Any, directory: Path) -> None:
    model.save_pretrained(directory, save_original_format=False)


def _qwen_of_the_hub(model: Any, directory: Path) -> None:
    """Save a Qwen2 as the hub's are: a window in the settings that no layer uses."""
    save_as_version_4(model, directory)
    file = directory / "config.json"
    config = {key: value for key, value in json.loads(file.read_text()).items() if key != "layer_types"}
    more = {"sliding_window": 131072, "use_sliding_window": False, "max_window_layers": 70}
    file.write_text(json.dumps({**config, **more}))


def _with_predictor(model: Any, directory: Path) -> None:
    """Save a model with a layer that predicts a further token, which transformers has no place for."""
    _plainly(model, directory)
    file = directory / "model.safetensors"
    further = {"mtp.fc.weight": torch.randn(32, 64), "mtp.norm.weight": torch.ones(32)}
    save_file({**load_file(file), **further}, file, metadata={"format": "pt"})


def _only_text(model: Any, directory: Path) -> None:
    """Save the decoder of a Gemma 3 that sees, as a text-only fine-tune of it is saved."""
    alone = transformers.Gemma3ForCausalLM(model.config.text_config)
    alone.model.load_state_dict(model.model.language_model.state_dict())
    alone.lm_head.load_state_dict(model.lm_head.state_dict())
    alone.save_pretrained(directory)


@dataclass(frozen=True)
class Kind:
    """A kind of model: class and type in transformers, what its tiny config needs, how base, a and b are saved."""

    named: str
    model_type: str
    saved: tuple[Save, Save, Save] = (_plainly, _plainly, _plainly)
    settings: Mapping[str, Any] | None = None


KINDS = {
    "qwen2": Kind("Qwen2ForCausalLM", "qwen2", (_qwen_of_the_hub, _plainly, save_as_version_4)),
    "gemma3": Kind("Gemma3ForConditionalGeneration", "gemma3", (_plainly, save_as_version_4, _only_text)),
    "qwen3_5": Kind("Qwen3_5ForConditionalGeneration", "qwen3_5", (_with_predictor, _plainly, _plainly)),
    "packed_experts": Kind("Qwen3MoeForCausalLM", "qwen3_moe", (_packed, _plainly, _packed)),
    "single_experts": Kind("Qwen3MoeForCausalLM", "qwen3_moe", (_plainly, _packed, _plainly)),
    "t5": Kind("T5ForConditionalGeneration", "t5", settings={"num_layers": 2, "decoder_start_token_id": 0}),
    "classifier": Kind("BertForSequenceClassification", "bert", settings={"num_labels": 2}),
}


def save_three(kind: Kind, root: Path) -> None:
    """Save base, a and b under a directory, with a tokenizer each."""
    torch.manual_seed(0)
    config = tiny_config(kind.model_type, kind.settings or {})
    model = stirred(getattr(transformers, kind.named)(config))
    for name, save in zip(("base", "a", "b"), kind.saved, strict=True):
        if name != "base":
            stirred(model)
        save(model, root / name)
        save_tokenizer(root / name)
