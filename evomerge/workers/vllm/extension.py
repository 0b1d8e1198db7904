"""What vLLM's workers get of evomerge: it mixes `MergeWorker` into each of them (`worker_extension_cls`), one a device.

Imported inside of them only, before they load their model.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from vllm import _custom_ops
from vllm.platforms import current_platform

from evomerge.workers.vllm.served_weights import Became, ParentsToOpen, ServedWeights
from search_spaces.errors import SpaceError
from search_spaces.recipes.recipe import Recipe

# On CPUs vLLM packs weights for oneDNN and lets go of them: what is loaded later would not reach its layers.
if current_platform.is_cpu():
    _custom_ops._supports_onednn = False


class MergeWorker:
    """The methods that vLLM's workers get; they answer in JSON, and raise nothing because of a recipe."""

    def evomerge_open(self, parents: str, reload: bool | None) -> None:
        """Open the parents of every recipe to come; `reload`: see `ServedWeights`."""
        runner: Any = self.model_runner  # type: ignore[attr-defined]  # of the worker that this is mixed into
        self.evomerge_weights = ServedWeights(runner, ParentsToOpen.from_json(parents).open(), reload=reload)

    def evomerge_model(self) -> Any:
        """Return the model; for a worker in the process that asks."""
        runner: Any = self.model_runner  # type: ignore[attr-defined]
        return runner.get_model()

    def evomerge_become(self, recipe: str) -> str:
        """Overwrite the model's weights with the recipe's; returns a `Became`."""
        try:
            became = self.evomerge_weights.become(Recipe.from_json(recipe))
        except SpaceError as error:
            became = Became(str(error))
        except Exception as error:  # an error that leaves this method ends some kinds of vLLM's workers
            became = Became(f"{type(error).__name__}: {error}")
        return json.dumps(asdict(became))
