"""What an operator sees of one tensor that a plan describes: everything is read when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, cast, overload

import torch
from torch import Tensor

from search_spaces.merging.memory import MergeMemory
from search_spaces.merging.plan import TensorPlan
from search_spaces.operators.kernels.threshold import Trim
from search_spaces.operators.operator import Operands, T
from search_spaces.parents.parents import Parents
from search_spaces.statistics.store import OF_ALL_PARENTS

if TYPE_CHECKING:
    from search_spaces.statistics.store import Kind


class _LazyTensors(Sequence[Tensor]):
    """Tensors that are read when they are asked for, once: a merge need not read parents that it leaves out."""

    def __init__(self, read: Callable[[int], Tensor], n: int) -> None:
        self._read = read
        self._found: list[Tensor | None] = [None] * n

    def __len__(self) -> int:
        return len(self._found)

    @overload
    def __getitem__(self, i: int) -> Tensor: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[Tensor]: ...
    def __getitem__(self, i: int | slice) -> Tensor | Sequence[Tensor]:
        if isinstance(i, slice):
            return [self[one] for one in range(len(self))[i]]
        found = self._found[i]
        if found is None:
            found = self._found[i] = self._read(i % len(self))
        return found


def operands_of(plan: TensorPlan, parents: Parents, memory: MergeMemory, *, stored: bool, turned: bool) -> Operands:
    """Return what a rule's operator sees: tensors in float32, or as they are `stored`; their last axes `turned`."""
    rule = plan.rule
    assert rule is not None

    def load(source: tuple[str, str]) -> Tensor:
        tensor = parents[source[0]].tensor(source[1])
        facing = tensor.mT.contiguous() if turned else tensor
        return facing if stored else facing.to(torch.float32)

    tensors = _LazyTensors(lambda i: load(plan.sources[i]), len(plan.sources))
    base = None if plan.base is None else load(plan.base)

    def global_trim(i: int, density: float) -> Trim:
        assert plan.base is not None
        return memory.model_trims.trim(parents, plan.sources[i][0], plan.base[0], density)

    def recall(
        what: str,
        inputs: Sequence[int],
        compute: Callable[[], tuple[Tensor, ...]],
        *,
        statistics: Sequence[tuple[int, str]] = (),
    ) -> tuple[Tensor, ...]:
        # The digest of what a parent read stands for its statistics: they are not hashed.
        what = f"{what}, {_names(plan, memory, statistics)!r}" if statistics else what
        read = [(plan.sources[i], tensors[i]) for i in inputs]
        if plan.base is not None and base is not None:
            read.append((plan.base, base))
        return memory.factors.recall(what, read, compute)

    def statistic(i: int, kind: str) -> Tensor | None:
        *digests, together = plan.statistics
        found = memory.statistics.tensor(digests[i], cast("Kind", kind), plan.sources[i][1], together)
        if found is not None and plan.sources:
            found = found.to(tensors[i].device)
        return found.mT if turned and found is not None and kind in ("fisher", "moments") else found

    def recent(what: Hashable, statistics: Sequence[tuple[int, str]], compute: Callable[[], T]) -> T:
        return memory.recent((what, _names(plan, memory, statistics)), compute)

    return Operands(
        tensors=tensors,
        base=base,
        inputs=tuple(i.parameters for i in rule.inputs),
        parameters=rule.parameters,
        seeds=plan.mask_seed,
        name=plan.name,
        layer=plan.layer,
        side=plan.side,
        keys=[(*source, *(plan.base or ())) for source in plan.sources],
        memory=memory,
        factors=recall,
        global_trims=global_trim,
        statistic=statistic if plan.statistics else None,
        recent=recent if plan.statistics else None,
    )


def _names(
    plan: TensorPlan, memory: MergeMemory, statistics: Sequence[tuple[int, str]]
) -> tuple[tuple[str | None, ...], ...]:
    """Return what names some inputs' statistics of the tensor: equal names, equal statistics, also of other tensors."""
    *digests, together = plan.statistics

    def name(i: int, kind: str) -> tuple[str | None, ...]:
        key = memory.statistics.key(digests[i], cast("Kind", kind), plan.sources[i][1], together)
        return digests[i], kind, together if kind in OF_ALL_PARENTS else "", key

    return tuple(name(i, kind) for i, kind in statistics)
