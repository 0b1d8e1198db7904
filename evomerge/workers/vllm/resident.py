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
        self._copy = None if plain is None else PlainCopy(plain)
        self.model = ServedModel(server, None if self._copy is None else self._copy.module)

    def become(self, recipe: Recipe) -> None:
        """Overwrite every weight (see `Resident.become`).

        Raises:
            SpaceError: the recipe cannot be carried out, or has layers of its own, which vLLM cannot change.
        """
        if self._copy is not None:
            self._copy.recipe = None
        if recipe.layers is not None:
            raise SpaceError(
                "layers: expected the base's, as a vLLM engine has them, found others; write engine: {kind: trie}"
            )
        self.server.become(recipe)
        if self._copy is not None:
            self._copy.recipe = recipe

    def close(self) -> None:
        """Stop the server; a second call does nothing."""
        self.server.close()


class PlainCopy:
    """The model that a server has become, as a module of this process: made, and merged, only when it is asked for.

    Attributes:
        recipe: what it is to be; None: nothing yet.
    """

    def __init__(self, make: Callable[[], Resident]) -> None:
        self.recipe: Recipe | None = None
        self._make = make
        self._resident: Resident | None = None
        self._became: Recipe | None = None

    def module(self) -> nn.Module:
        """Return the module of `recipe`."""
        if self.recipe is None:
            raise SpaceError("model: expected one that became a recipe, found one that did not")
        if self._resident is None:
            self._resident = self._make()
        if self._became != self.recipe:
            self._became = None
            self._resident.become(self.recipe)
            self._became = self.recipe
        return self._resident.model
