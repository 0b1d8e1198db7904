"""The resident model of a worker whose completions vLLM writes."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from evomerge.workers.vllm.server import VllmServer
from evomerge.workers.worker import Resident
from fitness.engine.served import ServedModel
from search_spaces.errors import SpaceError
from search_spaces.recipes.recipe import Recipe


class VllmResident:
    """Becomes each recipe inside vLLM, and as a module of this process where something asks for one.

    Implements `Resident`.

    Args:
        server: writes completions.
        plain: makes the resident of this process, when it is first needed; None where models do not fit here.
    """

    def __init__(self, server: VllmServer, plain: Callable[[], Resident] | None) -> None:
        self.server = server
        self._make_plain = plain
        self._plain: Resident | None = None
        self._recipe: Recipe | None = None  # that the server has become
        self._plain_recipe: Recipe | None = None
        self.model = ServedModel(server, None if plain is None else self._plain_model)

    def become(self, recipe: Recipe) -> None:
        """Overwrite every weight (see `Resident.become`).

        Raises:
            SpaceError: the recipe cannot be carried out, or has layers of its own, which vLLM cannot change.
        """
        self._recipe = None
        if recipe.layers is not None:
            raise SpaceError(
                "layers: expected the base's, as a vLLM engine has them, found others; write engine: {kind: trie}"
            )
        self.server.become(recipe)
        self._recipe = recipe

    def close(self) -> None:
        """Stop the server; a second call does nothing."""
        self.server.close()

    def _plain_model(self) -> nn.Module:
        assert self._make_plain is not None
        if self._plain is None:
            self._plain = self._make_plain()
        if self._recipe is None:
            raise SpaceError("model: expected one that became a recipe, found one that did not")
        if self._plain_recipe != self._recipe:
            self._plain_recipe = None
            self._plain.become(self._recipe)
            self._plain_recipe = self._recipe
        return self._plain.model
