"""Where an adapter's weights belong in a checkpoint: found through the live module that transformers makes of it.

An adapter names the modules of the class that it was trained on: today's, an older one with other prefixes, the
text-only class beside a vision-language checkpoint, or the other way round. Each is led to today's module, and from
there to the tensors of the file, which may hold a module's weight in parts (one per expert, for example).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from search_spaces.architecture.architecture import Architecture
from search_spaces.architecture.reading import key_finder, meta_module
from search_spaces.architecture.regions import Cuts, Region
from search_spaces.errors import SpaceError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from search_spaces.parents.checkpoint import Checkpoint


# What models that also see or hear call their text part, with the prefixes of its own class or without.
_TEXT_PART = re.compile(r"(model\.)?(language_model|text_model)\.(model\.)?")
_HEAD = re.compile(r"(^|\.)(lm_head|embed_out|output)\.weight$")


@dataclass(frozen=True)
class Spot:
    """Where a weight of an adapter lies in a checkpoint."""

    name: str  # of the file's tensor; of a new one where a tied head gets its own
    key: str = ""  # the live module's parameter; "" where there is none to ask
    region: Region | None = None  # of the parameter: the part that the tensor is; None: all of it
    within: Region | None = None  # of the tensor: the part that the adapter's weight is; None: all of it


@dataclass(frozen=True)
class AdapterPlaces:
    """The modules and the tensors of one checkpoint, whose names are sought."""

    config: Mapping[str, Any]
    names: tuple[str, ...]
    shape_of: Callable[[str], tuple[int, ...]]  # of a tensor of the file
    architecture: Architecture

    @staticmethod
    def of(checkpoint: Checkpoint) -> AdapterPlaces:
        """Return a checkpoint's."""
        return AdapterPlaces(checkpoint.config, checkpoint.names, checkpoint.shape, checkpoint.architecture)

    def spots(self, name: str) -> tuple[Spot, ...]:
        """Return where a weight that an adapter calls `name` lies; () if there is no such place."""
        if self.architecture.guessed:
            near = [name] if name in self.names else [n for n in self.names if _alike(n, name)]
            return (Spot(near[0]),) if len(near) == 1 else (Spot(name),) if _HEAD.search(name) else ()
        if name not in self._state and name in self.architecture.keys:
            key = self.architecture.keys[name]
            return (Spot(name, key if self._state[key].dim() == 2 else ""),)
        found = self.key(name)
        return () if found is None else self._spots(name, found)

    def key(self, name: str) -> str | None:
        """Return the live module's parameter that an adapter calls `name`; None if there is none."""
        if self.architecture.guessed:
            return None
        return next((key for key in self._candidates(name) if key in self._state), None)

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of a live module's parameter."""
        return tuple(self._state[key].shape)

    def stored_transposed(self, key: str) -> bool | None:
        """Return whether a parameter is (in, out), as GPT-2's and GPT-OSS's experts are; None: unknown."""
        from torch.nn import Linear
        from transformers.pytorch_utils import Conv1D

        if not key:
            return None
        owner: Any = self._live.get_submodule(key.rpartition(".")[0])
        if len(self.shape(key)) == 3:
            return bool(getattr(owner, "is_transposed", False))
        return {Conv1D: True, Linear: False}.get(type(owner))

    def is_of_layer(self, key: str) -> bool:
        """Return whether peft adapts a parameter with the layer that it is of, and not by `target_parameters`."""
        from torch.nn import Embedding, Linear
        from transformers.pytorch_utils import Conv1D

        if self.architecture.guessed or key not in self._state:
            return True
        return isinstance(self._live.get_submodule(key.rpartition(".")[0]), Linear | Embedding | Conv1D)

    def targeted(self, module: str, parameters: Sequence[str]) -> list[str]:
        """Return a module's parameters that `target_parameters` names: what peft wraps first is first.

        Args:
            module: as the adapter calls it.
            parameters: as adapter_config.json names them.
        """
        leaves = dict.fromkeys(p.rpartition(".")[2] for p in parameters if _ends(f"{module}.{p.rpartition('.')[2]}", p))
        found = {leaf: self.key(f"{module}.{leaf}") for leaf in leaves}
        order = {} if self.architecture.guessed else {key: i for i, key in enumerate(self._state)}
        return sorted(
            (leaf for leaf, key in found.items() if key is not None), key=lambda leaf: order[found[leaf] or ""]
        )

    @cached_property
    def own_head(self) -> str | None:
        """What the head is called, in the file or, of a tied model, where it gets one of its own; None without one."""
        if self.architecture.guessed or self.architecture.head is not None or not self.architecture.has_head:
            return self.architecture.head or ("lm_head.weight" if self.architecture.guessed else None)
        live: Any = self._live
        owner = live.get_output_embeddings()
        return next((f"{path}.weight" for path, module in live.named_modules() if module is owner), None)

    def _candidates(self, name: str) -> Iterator[str]:
        yield name
        renamed = self._key_of(name)
        if renamed is not None:
            yield renamed
        yield from self._without_wrapper(name)
        main = self.architecture.main
        if main is None:
            return
        from transformers import PreTrainedModel

        # The decoder of its own, as the text-only class names it, bare or with a head; older classes held the latter.
        parts = main.path.split(".")
        for path in (".".join(parts[:n]) for n in range(1, len(parts))):
            model = self._live.get_submodule(path)
            if isinstance(model, PreTrainedModel):
                inner = name.removeprefix(f"{path.rpartition('.')[2]}.")
                yield f"{path}.{inner.removeprefix(f'{model.base_model_prefix}.')}"
                yield f"{path}.{inner}"
                yield inner

    def _without_wrapper(self, name: str) -> Iterator[str]:
        """Yield what a text-only class may call the weight of a larger model's text part."""
        found = _TEXT_PART.match(name)
        if found is not None:
            inner = name[found.end() :]
            yield inner
            yield f"{getattr(self._live, 'base_model_prefix', '')}.{inner}"

    def _spots(self, name: str, key: str) -> tuple[Spot, ...]:
        files = self._files.get(key, [])
        if not files:
            if key == self.own_head:
                return (Spot(key, key),)
            tied = next((other for other in self._files if self._state[other] is self._state[key]), None)
            return () if tied is None else self._spots(name, tied)
        shape = self.shape(key)
        regions = self._cuts.regions(key, shape)
        if not regions or (len(regions) == 1 and _is_whole(next(iter(regions.values())), shape)):
            return tuple(Spot(file, key, _turned(self.shape_of(file), shape)) for file in files)
        if None in regions.values():
            raise SpaceError(f"{name}: expected a plain part of one of the base's tensors, found a permuted one")
        if len(regions) == 1:
            return tuple(Spot(file, key, region) for file in files for region in regions.values())
        columns = zip(*(other.split(".") for other in regions), strict=False)
        shared = sum(1 for _ in takewhile(lambda parts: len(set(parts)) == 1, columns))
        ends = {"." + ".".join(other.split(".")[shared:]): region for other, region in regions.items()}
        own = [region for end, region in ends.items() if f".{name}".endswith(end)]
        lengths = {end.count(".") for end in ends}
        tails = [(file, "." + ".".join(file.split(".")[-n:])) for file in files for n in lengths]
        cut = {file: ends[tail] for file, tail in tails if tail in ends}
        if own:  # one part, and the file has all of them in one tensor, or this one under another prefix
            mine = [file for file, region in cut.items() if region == own[0]]
            return tuple(Spot(file) for file in mine) if cut else (Spot(files[0], key, within=own[0]),)
        return tuple(Spot(file, key, region) for file, region in cut.items()) if cut else (Spot(files[0], key),)

    @cached_property
    def _live(self) -> nn.Module:
        return _module(json.dumps(self.config))

    @cached_property
    def _key_of(self) -> Callable[[str], str | None]:
        return key_finder(self._live)

    @cached_property
    def _state(self) -> dict[str, Tensor]:
        return dict(self._live.state_dict(keep_vars=True))

    @cached_property
    def _cuts(self) -> Cuts:
        return Cuts(self._live)

    @cached_property
    def _files(self) -> dict[str, list[str]]:
        """Live module's parameter -> the tensors of the file that are it, or parts of it."""
        found: dict[str, list[str]] = {}
        for name, key in self.architecture.keys.items():
            found.setdefault(key, []).append(name)
        return found


@lru_cache(maxsize=4)
def _module(config_json: str) -> nn.Module:
    return meta_module(json.loads(config_json))


def _is_whole(region: Region | None, shape: tuple[int, ...]) -> bool:
    return region is not None and region.is_whole(shape)


def _turned(found: tuple[int, ...], shape: tuple[int, ...]) -> Region | None:
    """Return the region of a tensor whose last two dimensions transformers exchanges where they do not fit."""
    exchanged = len(shape) > 1 and found != shape and found == (*shape[:-2], shape[-1], shape[-2])
    return Region(tuple(slice(0, size) for size in shape), transposed=True) if exchanged else None


def _alike(name: str, other: str) -> bool:
    return name.endswith(f".{other}") or other.endswith(f".{name}")


def _ends(name: str, target: str) -> bool:
    """Return whether peft takes a parameter for a target."""
    return name == target or name.endswith(f".{target}")
