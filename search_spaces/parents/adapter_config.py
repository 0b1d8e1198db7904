"""What an adapter_config.json says of its arithmetic: all that is more than s·BA is refused by its key.

Read off peft 0.21's LoraConfig. A key that is not known here is refused too if it switches something on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from search_spaces.errors import SpaceError

MERGE_FIRST = "save peft's merge_and_unload() of it and name that directory"

# Initialisations that leave the base as it is; the others subtract the adapter's start from the base's weights.
_BASE_UNTOUCHED = (True, False, None, "gaussian", "eva", "orthogonal", "mica")

_REASONS = {
    "use_dora": "DoRA renormalises every column of the merged weight, which no task vector s·BA can",
    "use_qalora": "QALoRA pools its inputs",
    "lora_bias": "biases on lora_B are not supported",
    "layer_replication": "it changes the number of layers",
    "alora_invocation_tokens": "aLoRA acts only after these tokens, but merged weights act on every token",
    "arrow_config": "Arrow routes every token to adapters of its own",
    "use_bdlora": "BD-LoRA's factors are block-diagonal",
    "kasa_config": "KaSA truncates the base's weights and puts singular values between the factors",
    "monteclora_config": "MonteCLoRA draws its factors at random",
    "velora_config": "VeLoRA keeps more than two factors",
    "megatron_config": "its tensors are those of Megatron's parallel layers",
}

# Where an adapter sits, how it began and was trained, and what is read elsewhere.
_PLAIN = frozenset(
    (
        "peft_type",
        "task_type",
        "auto_mapping",
        "peft_version",
        "base_model_name_or_path",
        "revision",
        "inference_mode",
        "runtime_config",
        "r",
        "lora_alpha",
        "use_rslora",
        "rank_pattern",
        "alpha_pattern",
        "fan_in_fan_out",
        "bias",
        "modules_to_save",
        "ensure_weight_tying",
        "target_modules",
        "exclude_modules",
        "layers_to_transform",
        "layers_pattern",
        "target_parameters",
        "trainable_token_indices",
        "init_lora_weights",
        "lora_dropout",
        "loftq_config",
        "eva_config",
        "corda_config",
        "lora_ga_config",
        "qalora_group_size",
        "megatron_core",
        "modules_to_tie",
        "target_modules_to_tie",
        "unsloth_fixed",
    )
)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MOST_ALPHA


def _is_rank(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_RANK


def _is_map_of(fits: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


_MOST_ALPHA, _MOST_RANK = 1e9, 10**6
# What must be of a form, where it is there and not null.
_FORMS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "r": (_is_rank, f"a rank from 1 to {_MOST_RANK:,}"),
    "lora_alpha": (_is_number, "a number"),
    "rank_pattern": (_is_map_of(_is_rank), f"ranks from 1 to {_MOST_RANK:,}, by patterns of modules"),
    "alpha_pattern": (_is_map_of(_is_number), "numbers, by patterns of modules"),
    "base_model_name_or_path": (_is_text, "the name of a model"),
    "revision": (_is_text, "the name of a revision"),
    "modules_to_save": (_are_names, "a list of modules"),
    "target_parameters": (_are_names, "a list of parameters"),
}


def check_config(path: Path, config: Mapping[str, Any]) -> None:
    """Raise SpaceError if an adapter's config is not a plain LoRA's.

    Args:
        path: of the file, for the message.
        config: what stands in it.
    """
    if str(config.get("peft_type")).upper() != "LORA":
        raise SpaceError(f"{path}: peft_type: expected LORA, found {config.get('peft_type')!r}; {MERGE_FIRST}")
    for key, (fits, expected) in _FORMS.items():
        if config.get(key) is not None and not fits(config[key]):
            raise SpaceError(f"{path}: {key}: expected {expected}, found {str(config[key])[:60]}")
    for key, reason in _REASONS.items():
        if config.get(key):
            raise SpaceError(f"{path}: {key}: expected it to be off: {reason}; {_remedy(key)}")
    for key, value in config.items():
        if key not in _PLAIN and key not in _REASONS and _switches(value):
            raise SpaceError(
                f"{path}: {key}: expected the settings of a plain LoRA, found {str(value)[:60]}, which this version "
                f"does not know; delete the key if it changes nothing but the training, or {MERGE_FIRST}"
            )
    start = config.get("init_lora_weights")
    if (start.lower() if isinstance(start, str) else start) not in _BASE_UNTOUCHED:
        raise SpaceError(
            f"{path}: init_lora_weights: expected one that leaves the base's weights as they are, found {start!r}; "
            f"save the adapter with peft's path_initial_model_for_weight_conversion, or {MERGE_FIRST}"
        )


def _remedy(key: str) -> str:
    """Return what to do; some variants peft itself cannot merge."""
    alone = key in ("alora_invocation_tokens", "arrow_config", "use_qalora")
    return "it cannot be merged, by peft neither; train a plain LoRA" if alone else MERGE_FIRST


def _switches(value: object) -> bool:
    """Return whether a value turns something on; a number or a word alone only tunes what another key turns on."""
    return value is True or (isinstance(value, (list, dict)) and bool(value))
