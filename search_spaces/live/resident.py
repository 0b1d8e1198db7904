"""A live model that becomes one recipe after another, in place."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from search_spaces.errors import SpaceError
from search_spaces.layers.layer_behaviour import layers_of
from search_spaces.layers.sources import output_names
from search_spaces.live.file_names import FileNames
from search_spaces.merging.materialise import carry_out_all
from search_spaces.merging.memory import MergeMemory
from search_spaces.merging.plan import TensorPlan, plan_tensors
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import Recipe


class ResidentModel:
    """One module in memory whose weights are overwritten by every recipe.

    The module may compute in another dtype than a recipe rounds to: it holds exactly the rounded values.
    """

    def __init__(self, model: nn.Module, parents: Parents, *, memory: MergeMemory | None = None) -> None:
        """Take over a module; its present weights do not matter.

        Args:
            model: of the base's architecture, e.g. from `build_module`; its floating point dtype holds every value of
                the recipes' dtype (float32 holds all).
            parents: the parents of every recipe to come.
            memory: what is known of these parents, to share with other users of them; None begins with nothing.
        """
        self.model = model
        self._parents = parents
        self._memory = MergeMemory() if memory is None else memory
        self._weights: dict[str, dict[str, Tensor]] = {}  # base -> its checkpoint's tensor -> the weights it goes to
        self._parameters = {p.untyped_storage().data_ptr() for p in model.parameters() if p.numel()}
        self._targets: dict[str, dict[str, Tensor]] = {}  # base -> what recipes without layers of their own write
        self._held: dict[str, tuple[TensorPlan, int]] = {}

    @torch.no_grad()
    def become(self, recipe: Recipe) -> None:
        """Overwrite every weight with the recipe's; tensors that would get the value they hold are left alone.

        Raises:
            SpaceError: the recipe cannot be carried out or does not fit the module. The weights are then undefined
                until another recipe succeeds.
        """
        targets = self.targets(recipe)
        held, self._held = self._held, {}
        plans = plan_tensors(recipe, self._parents, targets, origins=self._memory.origins)
        for name, weight in targets.items():
            check_fit(plans[name], weight)
        changed = [name for name, weight in targets.items() if held.get(name) != (plans[name], weight._version)]
        weights = [targets[name] for name in changed]
        carry_out_all([plans[name] for name in changed], self._parents, memory=self._memory, out=weights)
        # Parts of one parameter share a version, which is final only now; a later change by others shows in it.
        self._held = {name: (plans[name], weight._version) for name, weight in targets.items()}

    def targets(self, recipe: Recipe) -> dict[str, Tensor]:
        """Return output tensor -> the weights it goes to, a view; names that the module does not have are left out."""
        depth = len(layers_of(self.model))
        if recipe.layers is not None and len(recipe.layers) != depth:
            raise SpaceError(f"layers: expected {depth} as the live model has, found {len(recipe.layers)}")
        if recipe.layers is None and recipe.base in self._targets:
            self._parents.check(recipe)
            return dict(self._targets[recipe.base])
        base = self._parents[recipe.base]
        if recipe.base not in self._weights:
            names, state = FileNames(self.model, base), self.model.state_dict()
            parts = [(part, weight) for key, weight in state.items() for part in names.of(key, weight)]
            self._weights[recipe.base] = {part.name: part.of(weight) for part, weight in parts}
        known = self._weights[recipe.base]
        found = {name: known[name] for name in output_names(recipe, self._parents) if name in known}
        targets = self._covering(found, base)
        if recipe.layers is None:
            self._targets[recipe.base] = targets
        return dict(targets)

    def _covering(self, found: dict[str, Tensor], base: Checkpoint) -> dict[str, Tensor]:
        """Return the targets, one for each weight; raise an error where a weight has none."""
        written: dict[tuple[int, int], str] = {}
        for name, weight in found.items():
            other = written.setdefault(_location(weight), name)
            if other != name and not base.tensor(name).equal(base.tensor(other)):
                raise SpaceError(f"{name}: expected a tensor of its own, but the live model ties it to {other}")
        for key, weight in self.model.state_dict().items():
            is_parameter = weight.untyped_storage().data_ptr() in self._parameters
            if is_parameter and weight.numel() and _location(weight) not in written:
                raise SpaceError(
                    f"{key}: the live model has this parameter, but no tensor of the base's checkpoint writes it"
                )
        return {name: found[name] for name in found if written[_location(found[name])] == name}


def check_fit(plan: TensorPlan, weight: Tensor) -> None:
    """Do nothing if a weight of a live model can hold exactly what a plan makes."""
    if plan.shape != tuple(weight.shape):
        raise SpaceError(f"{plan.name}: expected {tuple(weight.shape)} as the live model has it, found {plan.shape}")
    if torch.promote_types(plan.dtype, weight.dtype) != weight.dtype:
        raise SpaceError(
            f"dtype: the live model's {weight.dtype} cannot hold every {plan.dtype}, so it would not be what is "
            "exported; compute in float32, or export another dtype"
        )


def _location(tensor: Tensor) -> tuple[int, int]:
    return tensor.untyped_storage().data_ptr(), int(tensor.storage_offset())
