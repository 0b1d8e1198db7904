"""The files of a LoRA adapter in peft's format: adapter_config.json and adapter_model.safetensors.

What would make a merge of it wrong is refused with its reason, never ignored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from search_spaces.errors import SpaceError, in_brief, shortened
from search_spaces.parents.adapter_config import check_config
from search_spaces.parents.checkpoint_files import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    LazyTensor,
    open_safetensors,
    read_json,
)
from search_spaces.parents.model_files import has_weights
from search_spaces.recipes.recipe import ParentSource

# Of processor time; what is meant takes a millionth of it.
_SECONDS_OF_A_PATTERN = 0.1
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
        file = self.directory / ADAPTER_CONFIG
        try:
            found = (a for p, a in self._alphas if p.fullmatch(module, timeout=_SECONDS_OF_A_PATTERN))
            alpha = next(found, self.config.get("lora_alpha", 8))
        except TimeoutError as error:
            raise SpaceError(
                f"{file}: alpha_pattern: expected patterns of modules, found one that takes for ever on {module}; "
                "write the names out"
            ) from error
        if isinstance(alpha, bool) or not isinstance(alpha, int | float):
            raise SpaceError(f"{file}: lora_alpha: expected a number, found {shortened(repr(alpha), 80)}")
        return alpha / (math.sqrt(rank) if self.config.get("use_rslora") else rank)

    @cached_property
    def _alphas(self) -> list[tuple[Any, float]]:
        """Compiled patterns of modules, as peft reads them, each with its α."""
        import regex  # which transformers requires; unlike re it can be told to give up

        try:
            patterns = self.config.get("alpha_pattern") or {}
            return [(regex.compile(rf"(.*\.)?({p})"), alpha) for p, alpha in patterns.items()]
        except (regex.error, RecursionError, OverflowError, MemoryError) as error:
            file, reason = self.directory / ADAPTER_CONFIG, in_brief(error)
            raise SpaceError(
                f"{file}: alpha_pattern: expected numbers, by patterns of modules, found what cannot be read: {reason}"
            ) from error

    def check_rank(self, module: str, rank: int) -> None:
        """Do nothing if factors have the rank that the config says of all."""
        said = self.config.get("r")
        if said is not None and not self.config.get("rank_pattern") and said != rank:
            file = self.directory / ADAPTER_CONFIG
            raise SpaceError(f"{file}: r: expected {rank}, the rank of the factors of {module}, found {said}")

    def tokens(self, module: str, n_rows: int) -> tuple[int, ...]:
        """Return which tokens a module's `trainable_tokens_delta` of so many rows is for."""
        said = self.config.get("trainable_token_indices")
        if isinstance(said, dict):
            own = [tokens for name, tokens in said.items() if f".{module}".endswith(f".{name}")]
            said = (own or list(said.values()) or [None])[0]  # a head's that is tied are the embedding's
        if not isinstance(said, list) or len(said) != n_rows or not all(isinstance(token, int) for token in said):
            raise SpaceError(
                f"{self.directory / ADAPTER_CONFIG}: trainable_token_indices: expected the {n_rows} tokens whose rows "
                f"the adapter has for {module}, found {str(said)[:60]}"
            )
        return tuple(said)


def is_adapter(directory: Path) -> bool:
    """Return whether a directory holds an adapter and no full weights."""
    return (directory / ADAPTER_CONFIG).is_file() and not has_weights(directory)


def read_adapter(directory: Path) -> AdapterFiles:
    """Read an adapter's config and the header of its weights."""
    config = read_json(directory / ADAPTER_CONFIG)
    check_config(directory / ADAPTER_CONFIG, config)
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
