"""A live model whose weights are a linear merge, and the slope of a loss with respect to the merge's coefficients.

θ(λ) = θ₀ + Σ λᵢᵍ δᵢ, so dL/dλᵢᵍ = <dL/dθᵍ, δᵢᵍ>: an ordinary backward pass of the resident model and inner products
with the memory-mapped parents, tensor by tensor as the pass comes by. No graph goes through the merge, and no gradient
outlives its tensor's turn: the memory is that of the model, of its activations, and of one tensor's gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from search_spaces.errors import SpaceError
from search_spaces.live.inner_products import are_equal, inner_products, weigh_columns
from search_spaces.live.places import Per, Places
from search_spaces.live.resident import ResidentModel
from search_spaces.merging.materialise import all_finite
from search_spaces.merging.memory import MergeMemory
from search_spaces.parents.parents import Parents
from search_spaces.recipes.groups import Groups
from search_spaces.recipes.recipe import ExportDtype, Recipe
from search_spaces.recipes.rule import Input, Rule, Where


class CoefficientModel:
    """A resident model that becomes linear merges, and tells how a loss changes with their coefficients.

    Coefficients are float64 (n_parents, n_places), parents in the order of `merged`, places as `Places` lays them out.
    Per column, W = W₀ + Σ δᵢ diag(cᵢ) with one cᵢ for every column of each matrix: DAM (arXiv 2410.08371) on task
    vectors. The slope is taken where the weights are, after rounding: rounding counts as the identity.

    Attributes:
        model: the resident module; run it, and call `backward` on what comes out.
        places: what each column of the coefficients belongs to.
    """

    def __init__(  # noqa: PLR0913 -- one argument per choice
        self,
        module: nn.Module,
        parents: Parents,
        *,
        base: str,
        merged: Sequence[str],
        per: Per = "tensor",
        groups: Groups = Groups(),  # noqa: B008 -- frozen
        of: Literal["task_vectors", "weights"] = "task_vectors",
        bounds: tuple[float, float] | None = None,
        dtype: ExportDtype = "float32",
        memory: MergeMemory | None = None,
    ) -> None:
        """Take over a module; its present weights do not matter.

        Args:
            module: of the base's architecture, e.g. from `build_module`; its dtype holds every value of `dtype`.
            parents: opened; all of `merged`, and the base.
            base: the parent that task vectors are taken from, that gives what has no coefficient, and config.
            merged: the parents with coefficients.
            per: what has coefficients of its own.
            groups: which tensors share coefficients, per group; what no group holds stays the base's.
            of: the coefficients are those of task vectors, θ₀ + Σ λᵢδᵢ, or of the weights, Σ cᵢθᵢ.
            bounds: coefficients are clamped to them on their way into the weights, and have no slope beyond them
                (AdaMerging's code: 0 and 1); None clamps nothing.
            dtype: what the weights are rounded to.
            memory: of the merges, to share with other users of the same parents.

        Raises:
            SpaceError: a parent is missing, or the module does not fit.
        """
        self.model, self._parents, self._base, self._merged = module, parents, base, tuple(merged)
        self._of_deltas, self._bounds, self._dtype = of == "task_vectors", bounds, dtype
        self._resident = ResidentModel(module, parents, memory=memory)
        checkpoint = parents[base]
        targets = self._resident.targets(self._recipe([self._copy]))
        floating = {n: checkpoint.shape(n) for n in targets if checkpoint.dtype(n).is_floating_point}
        self.places = Places.laid_out(per, floating, groups, checkpoint.architecture)
        self._covers = len(self.places.of) == len(floating)
        self._targets = {name: targets[name] for name in self.places.of}
        self._values = torch.zeros(self.shape, dtype=torch.float64)
        self._sums = torch.zeros_like(self._values)
        self._passed = self._written = False
        self._known: dict[nn.Parameter, bool] = {}  # parameter -> whether no parent changed it
        self._held = held_by(module, self._targets)
        self._handles = [_watch(parameter, self._take) for parameter in self._held]
        for parameter in module.parameters():
            parameter.requires_grad_(parameter in self._held)
            parameter.grad = None

    @property
    def shape(self) -> tuple[int, int]:
        """(n_parents, n_places) of the coefficients."""
        return len(self._merged), self.places.count

    @property
    def parents(self) -> tuple[str, ...]:
        """The parents with coefficients: the rows."""
        return self._merged

    @torch.no_grad()
    def become(self, values: Tensor) -> None:
        """Write the weights of some coefficients, (n_parents, n_places) of any floating point dtype.

        Raises:
            SpaceError: another shape, a value that is not finite, or the merge cannot be carried out.
        """
        self._values = self._checked(values)
        self._sums.zero_()
        self._passed = False
        if self.places.per == "column":
            self._become_columns()
        else:
            self._resident.become(self.recipe(self._values))

    def slope(self) -> Tensor:
        """Return dL/dλ at the coefficients of the last `become`, float64 (n_parents, n_places).

        L is what was propagated backward since: of several passes, the sum. The sum begins anew.

        Raises:
            SpaceError: nothing was propagated backward.
        """
        if not self._passed:
            raise SpaceError("slope: expected a backward pass through the model since `become`, found none")
        slope, self._sums, self._passed = self._sums, torch.zeros_like(self._sums), False
        self._freeze_still()
        if self._bounds is not None:
            low, high = self._bounds
            slope = slope * ((self._values >= low) & (self._values <= high))
        return slope

    def recipe(self, values: Tensor) -> Recipe:
        """Return the recipe whose merge `become` writes for these coefficients.

        Raises:
            SpaceError: another shape, a value that is not finite; or coefficients per column, which no recipe has:
                export the model as a checkpoint, to be a parent of its own.
        """
        if self.places.per == "column":
            raise SpaceError("recipe: expected coefficients per model, group or tensor, found per column")
        clamped = self._clamped(self._checked(values)).tolist()
        rules = []
        for reach in self.places.reaches:
            weights = [
                row[reach.left] if not reach.share else _between(row[reach.left], row[reach.right], reach.share)
                for row in clamped
            ]
            rules.append(self._rule(weights, reach.where))
        return self._recipe(rules if self._covers else [*rules, self._copy])

    def columns(self, values: Tensor) -> Callable[[str], Tensor | None]:
        """Return what makes the tensors that `become` writes for these coefficients per column (`export`).

        It returns a tensor of the checkpoint by its name, None for one that is the base's.

        Raises:
            SpaceError: another shape, or a value that is not finite.
        """
        clamped = self._clamped(self._checked(values))
        return lambda name: self._weighed(name, clamped) if name in self._targets else None

    def close(self) -> None:
        """Let the module go: its parameters want gradients of their own again."""
        for handle in self._handles:
            handle.remove()
        for parameter in self.model.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
            parameter.grad = None

    @property
    def _copy(self) -> Rule:
        return Rule("passthrough", (Input(self._base),))

    def _rule(self, weights: Sequence[float], where: Where) -> Rule:
        inputs = tuple(Input(name, {"weight": w}) for name, w in zip(self._merged, weights, strict=True))
        if self._of_deltas:
            return Rule("task_arithmetic", inputs, where=where)
        return Rule("linear", inputs, {"normalize": False}, where)

    def _recipe(self, rules: Sequence[Rule]) -> Recipe:
        named = {name: self._parents[name].source for name in dict.fromkeys([self._base, *self._merged])}
        return Recipe(named, self._base, tuple(rules), self._dtype, tokenizer=self._parents.tokenizer)

    def _checked(self, values: Tensor) -> Tensor:
        checked = values.detach().to("cpu", torch.float64, copy=True)
        if tuple(checked.shape) != self.shape:
            raise SpaceError(f"coefficients: expected {self.shape} (parents, places), found {tuple(checked.shape)}")
        if not checked.isfinite().all():
            raise SpaceError("coefficients: expected finite numbers, found NaN or infinity; lower the learning rate")
        return checked

    def _clamped(self, values: Tensor) -> Tensor:
        return values if self._bounds is None else values.clamp(*self._bounds)

    def _become_columns(self) -> None:
        if not self._written:  # what has no columns: the base's buffers
            self._resident.become(self._recipe([self._copy]))
            self._written = True
        clamped = self._clamped(self._values)
        for name, target in self._targets.items():
            target.copy_(self._weighed(name, clamped))

    def _weighed(self, name: str, clamped: Tensor) -> Tensor:
        ((start, stop, _),) = self.places.of[name]
        merged = torch.empty(self._targets[name].shape, dtype=getattr(torch, self._dtype))
        weigh_columns(merged, *self._read(name), clamped[:, start:stop])
        if not all_finite(merged):
            raise SpaceError(f"{name}: expected finite values, found NaN or infinity; coefficients are too large")
        return merged

    def _read(self, name: str) -> tuple[list[Tensor], Tensor | None]:
        """Return the parents' tensors, and the base's where task vectors are merged."""
        origin = self._parents[self._base].tensor(name) if self._of_deltas else None
        return [self._parents[parent].tensor(name) for parent in self._merged], origin

    @torch.no_grad()
    def _take(self, parameter: Tensor) -> None:
        """Add a parameter's share to the slope, and let its gradient go: called once it is complete."""
        assert isinstance(parameter, nn.Parameter)
        assert parameter.grad is not None
        gradient, parameter.grad = parameter.grad.contiguous(), None
        self._passed = True
        still = True
        for name, target in self._held[parameter]:
            offset = gradient.storage_offset() + target.storage_offset() - parameter.storage_offset()
            part = gradient.as_strided(target.shape, target.stride(), offset)
            tensors, origin = self._read(name)
            products = inner_products(part, tensors, origin, by_column=self.places.per == "column")
            for start, stop, share in self.places.of[name]:
                self._sums[:, start:stop] += share * products
            if parameter not in self._known:
                still = still and origin is not None and not products.any() and are_equal(tensors, origin)
        self._known.setdefault(parameter, still)

    def _freeze_still(self) -> None:
        """Spare the next passes the gradients of what no parent changed, such as the embedding under adapters."""
        still = [p for p, is_still in self._known.items() if is_still]
        if len(still) < len(self._held):  # a pass needs something to go back to
            for parameter in still:
                parameter.requires_grad_(False)


def held_by(module: nn.Module, targets: Mapping[str, Tensor]) -> dict[nn.Parameter, list[tuple[str, Tensor]]]:
    """Return parameter -> the tensors that lie in it, views of its memory, by name.

    Raises:
        SpaceError: a parameter is not contiguous in memory.
    """
    held: dict[nn.Parameter, list[tuple[str, Tensor]]] = {}
    storages: dict[int, list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.is_contiguous():
            raise SpaceError(f"{name}: expected a contiguous parameter, found one with strides {parameter.stride()}")
        storages.setdefault(parameter.untyped_storage().data_ptr(), []).append(parameter)
    for name, target in targets.items():
        for parameter in storages.get(target.untyped_storage().data_ptr(), []):
            if 0 <= target.storage_offset() - parameter.storage_offset() < parameter.numel():
                held.setdefault(parameter, []).append((name, target))
    return held


def _watch(parameter: nn.Parameter, take: Callable[[Tensor], None]) -> RemovableHandle:
    handle: RemovableHandle = parameter.register_post_accumulate_grad_hook(take)  # type: ignore[no-untyped-call]
    return handle


def _between(left: float, right: float, share: float) -> float:
    return left + share * (right - left)
