"""The files of a LoRA adapter in peft's format: adapter_config.json and adapter_model.safetensors.

What would make a merge of it wrong is refused with its reason, never ignored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_spaces.errors import SpaceError
from search_spaces.parents.checkpoint_files import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    LazyTensor,
    open_safetensors,
    read_json,
)
from search_spaces.parents.model_files import has_weights
from search_spaces.recipes.recipe import ParentSource

# Initialisations that leave the base as it is; the others subtract the adapter's start from the base's weights.
_BASE_UNTOUCHED = (True, False, None, "gaussian", "eva", "orthogonal")
_MERGE_FIRST = "save peft's merge_and_unload() of it and name that directory"
_PREFIX = "base_model.model."


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter as it lies on disk."""

    directory: Path  # absolute
    config: Mapping[str, Any]  # its adapter_config.json
    tensors: Mapping[str, LazyTensor]  # its tensors, named without peft's prefix

    @property
    def base(self) -> ParentSource:
        """The model that it was trained on, as its config names it."""
        model = self.config.get("base_model_name_or_path")
        if not model:
            raise SpaceError(
                f"{self.directory / ADAPTER_CONFIG}: expected base_model_name_or_path, found none; name the base with "
                "the adapter: model+adapter in YAML, or the keys model and adapter"
            )
        beside = self.directory / str(model)
        return ParentSource(str(beside) if beside.is_dir() else str(model), self.config.get("revision"))

    def scale(self, module: str, rank: int) -> float:
        """Return what BA is multiplied by: α/r, or α/√r with rsLoRA (Kalajdzievski 2023, arXiv 2312.03732)."""
        patterns: Mapping[str, float] = self.config.get("alpha_pattern") or {}
        alpha = next((a for p, a in patterns.items() if re.fullmatch(rf"(.*\.)?({p})", module)), None)
        alpha = float(self.config.get("lora_alpha", 8) if alpha is None else alpha)
        return alpha / (math.sqrt(rank) if self.config.get("use_rslora") else rank)


def is_adapter(directory: Path) -> bool:
    """Return whether a directory holds an adapter and no full weights."""
    return (directory / ADAPTER_CONFIG).is_file() and not has_weights(directory)


def read_adapter(directory: Path) -> AdapterFiles:
    """Read an adapter's config and the header of its weights."""
    config = read_json(directory / ADAPTER_CONFIG)
    _check_kind(directory / ADAPTER_CONFIG, config)
    weights = directory / ADAPTER_WEIGHTS
    if not weights.is_file():
        raise SpaceError(
            f"{directory}: expected {ADAPTER_WEIGHTS}, found none; if it has an adapter_model.bin, which can run code, "
            "load it with peft and save it again"
        )
    tensors = {name.removeprefix(_PREFIX): tensor for name, tensor in open_safetensors(weights).items()}
    if not tensors:
        raise SpaceError(f"{weights}: expected the tensors of an adapter, found none")
    return AdapterFiles(directory, config, tensors)


def _check_kind(path: Path, config: Mapping[str, Any]) -> None:
    if str(config.get("peft_type")).upper() != "LORA":
        raise SpaceError(f"{path}: peft_type: expected LORA, found {config.get('peft_type')!r}; {_MERGE_FIRST}")
    reasons = {
        "use_dora": "DoRA renormalises every column of the merged weight, which no task vector s·BA can",
        "use_qalora": "QALoRA pools its inputs",
        "lora_bias": "biases on lora_B are not supported",
        "trainable_token_indices": "separately trained tokens are not supported",
        "target_parameters": "adapters of bare parameters (fused experts) are not supported",
        "layer_replication": "it changes the number of layers",
    }
    for key, reason in reasons.items():
        if config.get(key):
            raise SpaceError(f"{path}: {key}: expected it to be off: {reason}; {_MERGE_FIRST}")
    start = config.get("init_lora_weights")
    if start not in _BASE_UNTOUCHED:
        raise SpaceError(
            f"{path}: init_lora_weights: expected one that leaves the base's weights as they are, found {start!r}; "
            "save the adapter with peft's path_initial_model_for_weight_conversion, or " + _MERGE_FIRST
        )
