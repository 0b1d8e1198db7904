"""The weights of the model that a vLLM worker runs, overwritten in place by evomerge's merges.

vLLM fuses and shards the tensors on their way in, so every architecture, tensor-parallel and pipeline-parallel rank
that it knows is served. CUDA graphs that were captured of earlier candidates stay right, for no weight moves.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from search_spaces.errors import SpaceError
from search_spaces.layers.sources import output_names
from search_spaces.merging.kept_numbers import KeptNumbers
from search_spaces.merging.materialise import carried_out
from search_spaces.merging.memory import MergeMemory
from search_spaces.merging.plan import TensorPlan, plan_tensors
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import OutputTokenizer, ParentSource, Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

# Layers that keep a checkpoint's weights as they are, but for fusing and sharding; others pack them for their kernels.
_UNPACKED = ("UnquantizedLinearMethod", "UnquantizedEmbeddingMethod")


@dataclass(frozen=True)
class ParentsToOpen:
    """What `Parents.open` is told, as JSON for the way into a worker."""

    sources: dict[str, ParentSource]
    base: str
    tokenizer: OutputTokenizer
    places: dict[str, ParentSource]

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> ParentsToOpen:
        """Read what `to_json` wrote."""
        data = json.loads(text)
        sources, places = (
            {name: ParentSource(**source) for name, source in data[key].items()} for key in ("sources", "places")
        )
        return ParentsToOpen(sources, data["base"], OutputTokenizer(**data["tokenizer"]), places)

    def open(self) -> Parents:
        """Open them."""
        return Parents.open(self.sources, base=self.base, tokenizer=self.tokenizer, places=self.places)


@dataclass(frozen=True)
class Became:
    """What became of a recipe in one worker.

    Attributes:
        error: what is wrong with the recipe, or why it does not fit the model; empty where it became it.
        merge_seconds: of making the tensors.
        load_seconds: of what vLLM does with them.
        n_tensors: that were made; the others had the recipe's values already.
    """

    error: str = ""
    merge_seconds: float = 0.0
    load_seconds: float = 0.0
    n_tensors: int = 0


class ServedWeights:
    """The weights of a worker's model, which become one recipe's after the other.

    Args:
        runner: vLLM's model runner.
        parents: of every recipe to come.
        reload: whether vLLM prepares the weights anew for its kernels each time, which needs all of them; None: only
            where its layers do not compute with the weights as they are loaded (quantised ones, experts, latent
            attention).
    """

    def __init__(self, runner: Any, parents: Parents, *, reload: bool | None = None) -> None:
        self._runner, self._parents = runner, parents
        self._memory = MergeMemory(kept=KeptNumbers(parents))
        self._reload = _packs_weights(runner.get_model()) if reload is None else reload
        self._held: dict[str, TensorPlan] = {}
        self._loaded: set[str] | None = None  # the model's parameters that checkpoints write, once it is known

    def become(self, recipe: Recipe) -> Became:
        """Overwrite the weights with the recipe's; those that would get the values they hold are left alone.

        Raises:
            SpaceError: the recipe cannot be carried out, or writes not all of the model. The weights are undefined then
                until another recipe succeeds.
        """
        import torch

        began = time.perf_counter()
        held, self._held = self._held, {}
        names = output_names(recipe, self._parents)
        plans = plan_tensors(recipe, self._parents, names, origins=self._memory.origins)
        changed = [plan for name, plan in plans.items() if self._reload or held.get(name) != plan]
        made = _Timed(_named(changed, carried_out(changed, self._parents, memory=self._memory)))
        planned = time.perf_counter() - began
        with torch.inference_mode():
            self._load(made)
        self._held = plans
        whole = time.perf_counter() - began
        return Became("", planned + made.seconds, whole - planned - made.seconds, len(changed))

    def _load(self, tensors: Iterable[tuple[str, Tensor]]) -> None:
        model = self._runner.get_model()
        if self._reload:
            self._runner.reload_weights(weights_iterator=tensors, is_checkpoint_format=True)
            return
        loaded = model.load_weights(tensors)
        if self._loaded is None and loaded is not None:
            self._loaded = set(loaded)
            missing = sorted({name for name, _ in model.named_parameters()} - self._loaded)
            if missing:
                self._loaded = None
                raise SpaceError(
                    f"{missing[0]}: vLLM's model has this parameter, but no tensor of the base's checkpoint writes it; "
                    "write engine: {kind: trie}"
                )


def _packs_weights(model: nn.Module) -> bool:
    """Return whether some layers of a model compute with other weights than those that are loaded into them."""
    if any("MLA" in type(module).__name__ for module in model.modules()):  # latent attention multiplies some first
        return True
    methods = (getattr(module, "quant_method", None) for module in model.modules())
    return any(method is not None and type(method).__name__ not in _UNPACKED for method in methods)


def _named(plans: Iterable[TensorPlan], tensors: Iterable[Tensor]) -> Iterator[tuple[str, Tensor]]:
    return ((plan.name, tensor) for plan, tensor in zip(plans, tensors, strict=True))


class _Timed:
    """What an iterator yields, and the seconds that it takes for it."""

    def __init__(self, items: Iterator[tuple[str, Tensor]]) -> None:
        self._items, self.seconds = items, 0.0

    def __iter__(self) -> _Timed:
        return self

    def __next__(self) -> tuple[str, Tensor]:
        began = time.perf_counter()
        try:
            return next(self._items)
        finally:
            self.seconds += time.perf_counter() - began
