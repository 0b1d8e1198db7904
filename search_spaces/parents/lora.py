"""A LoRA adapter on a checkpoint: each adapted weight is base + s·BA, computed when it is read.

Only the factors lie in memory; no full copy of the model is ever made (Hu et al. 2022, "LoRA", arXiv 2106.09685,
equation 3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search_spaces.errors import SpaceError
from search_spaces.parents.adapter_files import AdapterFiles
from search_spaces.parents.checkpoint_files import LazyTensor

if TYPE_CHECKING:
    import torch

_FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<embedding>embedding_)?(?P<side>[AB])(\.default)?(\.weight)?")
_REPLACEMENT = re.compile(r"\.(base_layer|original_module|modules_to_save(\.default)?)(?=\.)")
_HEAD = re.compile(r"(^|\.)(lm_head|embed_out|output)\.weight$")


@dataclass(frozen=True)
class LowRankUpdate:
    """s·BA, the task vector of one weight."""

    down: LazyTensor  # A, (rank, in)
    up: LazyTensor  # B, (out, rank)
    module: str  # what peft calls the module whose weight it changes
    scale: float  # s
    transposed: bool  # the weight is stored (in, out): embeddings, and GPT-2's layers

    @property
    def rank(self) -> int:
        """The inner dimension."""
        return self.down.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """The weight's shape as the checkpoint stores it."""
        out, width = self.up.shape[0], self.down.shape[1]
        return (width, out) if self.transposed else (out, width)

    def factors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return left (rows, rank), scaled, and right (rank, columns), float32: their product is the task vector."""
        import torch

        down, up = self.down.read().to(torch.float32), self.up.read().to(torch.float32)
        return (down.T * self.scale, up.T) if self.transposed else (up * self.scale, down)


@dataclass(frozen=True)
class AdaptedTensor:
    """A weight plus its low-rank update, in float32 and not rounded."""

    original: LazyTensor
    update: LowRankUpdate

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the weight's shape."""
        return self.original.shape

    @property
    def dtype(self) -> torch.dtype:
        """Return float32."""
        import torch

        return torch.float32

    def read(self) -> torch.Tensor:
        """Return a new tensor: base + s·BA."""
        import torch

        return self.original.read().to(torch.float32, copy=True).addmm_(*self.update.factors())


@dataclass(frozen=True)
class Adapter:
    """An adapter whose tensors have found their places in a checkpoint."""

    files: AdapterFiles  # what it was read from
    updates: Mapping[str, LowRankUpdate]  # checkpoint tensor -> its low-rank update
    # checkpoint tensor -> what stands in its place (`modules_to_save`, biases, resized embeddings)
    replaced: Mapping[str, LazyTensor]

    def applied(self, tensors: Mapping[str, LazyTensor], embedding: str | None) -> dict[str, LazyTensor]:
        """Return the adapted checkpoint's tensors.

        An adapted head begins as the token embedding where the base's file has no head.
        """
        plain = {**tensors, **self.replaced}
        adapted: dict[str, LazyTensor] = {
            name: AdaptedTensor(plain[name if name in plain else embedding or name], update)
            for name, update in self.updates.items()
        }
        return {**plain, **adapted}


def match_adapter(files: AdapterFiles, tensors: Mapping[str, LazyTensor], embedding: str | None) -> Adapter:
    """Return an adapter with every tensor at its place in the base."""
    factors: dict[tuple[str, bool], dict[str, LazyTensor]] = {}
    replaced: dict[str, LazyTensor] = {}
    for name, tensor in files.tensors.items():
        found = _FACTOR.fullmatch(name)
        if found is None:
            replaced[_place(files, _REPLACEMENT.sub("", name), tensors, embedding)] = tensor
        else:
            factors.setdefault((found["module"], bool(found["embedding"])), {})[found["side"]] = tensor
    for name, tensor in replaced.items():
        _check_replacement(files, name, tensor, tensors, embedding)
    originals, updates = {**tensors, **replaced}, {}
    for (module, of_embedding), pair in factors.items():
        name = _place(files, f"{module}.weight", tensors, embedding)
        original = originals[name if name in originals or embedding is None else embedding]
        updates[name] = _update(files, module, pair, original, transposed=of_embedding)
    return Adapter(files, updates, replaced)


def _check_replacement(
    files: AdapterFiles,
    name: str,
    found: LazyTensor,
    tensors: Mapping[str, LazyTensor],
    embedding: str | None,
) -> None:
    expected = tuple(tensors[name if name in tensors or embedding is None else embedding].shape)
    of_vocabulary = name == embedding or _HEAD.search(name) is not None  # may have rows for new tokens
    if tuple(found.shape) != expected and not (of_vocabulary and tuple(found.shape[1:]) == expected[1:]):
        raise _misfit(files, name, found.shape, expected)


def _update(
    files: AdapterFiles, module: str, pair: Mapping[str, LazyTensor], original: LazyTensor, *, transposed: bool
) -> LowRankUpdate:
    if set(pair) != {"A", "B"}:
        raise SpaceError(f"{files.directory}: expected lora_A and lora_B of {module}, found only lora_{min(pair)}")
    down, up = pair["A"], pair["B"]
    if len(down.shape) != 2 or len(up.shape) != 2 or down.shape[0] != up.shape[1]:
        raise SpaceError(
            f"{files.directory}: expected factors (rank, in) and (out, rank) of {module}, found {down.shape} and "
            f"{up.shape}; adapters of convolutions are not supported"
        )
    scale = files.scale(module, down.shape[0])
    # peft decides per layer: the flag of GPT-2's adapters does not hold for its head.
    flag = transposed or bool(files.config.get("fan_in_fan_out"))
    fits = [
        u for t in (flag, not flag) if (u := LowRankUpdate(down, up, module, scale, t)).shape == tuple(original.shape)
    ]
    if not fits:
        raise _misfit(files, module, LowRankUpdate(down, up, module, scale, flag).shape, original.shape)
    return fits[0]


def _place(files: AdapterFiles, name: str, tensors: Mapping[str, LazyTensor], embedding: str | None) -> str:
    """Return the checkpoint's name of a module's tensor: the same, or with (or without) the wrapper's prefix."""
    if name in tensors:
        return name
    near = [other for other in tensors if other.endswith(f".{name}") or name.endswith(f".{other}")]
    if len(near) == 1:
        return near[0]
    if embedding is not None and _HEAD.search(name):
        return name  # a head of its own, on a base whose head is its embedding
    if not name.endswith((".weight", ".bias")) or ".lora_" in name:
        raise SpaceError(f"{files.directory}: expected tensors of a plain LoRA adapter, found {name}")
    raise _for_another_base(files, f"it changes {name}, which this base does not have")


def _misfit(files: AdapterFiles, name: str, found: Sequence[int], expected: Sequence[int]) -> SpaceError:
    return _for_another_base(files, f"{name} is {tuple(expected)} here, but {tuple(found)} in the adapter")


def _for_another_base(files: AdapterFiles, reason: str) -> SpaceError:
    trained_on = files.config.get("base_model_name_or_path") or "another model"
    return SpaceError(f"{files.directory}: expected an adapter for this base, found one for {trained_on}: {reason}")
