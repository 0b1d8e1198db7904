"""The resident model of a worker whose completions vLLM writes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from evomerge.workers.vllm.same_weights import module_on_same_weights
from evomerge.workers.vllm.server import VllmServer
from evomerge.workers.worker import Resident
from fitness.engine.served import ServedModel
from search_spaces.errors import SpaceError
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import Recipe

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class InProcess:
    """How models are run as modules of this process.

    Attributes:
        module: returns a new module of the recipes' architecture.
        resident: returns a new resident with weights of its own.
        parents: of every recipe, opened.
    """

    module: Callable[[], nn.Module]
    resident: Callable[[], Resident]
    parents: Parents


class VllmResident:
    """Becomes each recipe inside vLLM, and as a module of this process where something asks for one.

    Implements `Resident`.

    Args:
        server: writes completions.
        in_process: how models are run here; None where they lie on several devices.
    """

    def __init__(self, server: VllmServer, in_process: InProcess | None) -> None:
        self.server = server
        self.same = None if in_process is None else SameModel(server, in_process)
        self.model = ServedModel(server, None if self.same is None else self.same.module)

    def become(self, recipe: Recipe) -> None:
        """Overwrite every weight (see `Resident.become`).

        Raises:
            SpaceError: the recipe cannot be carried out, or has layers of its own, which vLLM cannot change.
        """
        if self.same is not None:
            self.same.recipe = None
        if recipe.layers is not None:
            raise SpaceError(
                "layers: expected the base's, as a vLLM engine has them, found others; write engine: {kind: trie}"
            )
        self.server.become(recipe)
        if self.same is not None:
            self.same.recipe = recipe

    def close(self) -> None:
        """Stop the server; a second call does nothing."""
        self.server.close()


class SameModel:
    """The model that a server has become, as a module of this process, made when it is first asked for.

    It computes with vLLM's own weights where they lie there as transformers has them; else it is a second copy, merged
    once more.

    Attributes:
        recipe: what the server has become; None: nothing that is defined.
        shared: whether the weights are vLLM's; None: not asked for yet.
    """

    def __init__(self, server: VllmServer, in_process: InProcess) -> None:
        self.recipe: Recipe | None = None
        self.shared: bool | None = None
        self._server, self._in_process = server, in_process
        self._module: nn.Module | None = None  # on vLLM's weights
        self._resident: Resident | None = None  # with weights of its own
        self._became: Recipe | None = None

    def module(self) -> nn.Module:
        """Return the module of `recipe`."""
        recipe, given = self.recipe, self._in_process
        if recipe is None:
            raise SpaceError("model: expected one that became a recipe, found one that did not")
        if self.shared is None:
            self._module = module_on_same_weights(given.module, self._server.model(), recipe, given.parents)
            self.shared = self._module is not None
            _LOG.info("vLLM's weights are %s", "shared" if self.shared else "copied for what is no completion")
        return self._copied(recipe) if self._module is None else self._module

    def _copied(self, recipe: Recipe) -> nn.Module:
        if self._resident is None:
            self._resident = self._in_process.resident()
        if self._became != recipe:
            self._became = None
            self._resident.become(recipe)
            self._became = recipe
        return self._resident.model
