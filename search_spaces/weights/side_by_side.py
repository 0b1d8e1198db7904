"""Making many tensors: small ones several at once, large ones by all threads together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from math import prod

import torch
from torch import Tensor

from search_spaces.threads import separate_threads
from search_spaces.weights.kernels.fusion import is_elementwise
from search_spaces.weights.materialise import carry_out
from search_spaces.weights.parents import Parents
from search_spaces.weights.plan import TensorPlan
from search_spaces.weights.statistics import Statistics

# Elements that are made, or wait to be used, at once: a merge holds up to some 14 bytes for each of them.
_AT_ONCE = 1 << 24
_LARGE = 1 << 22


def carry_out_all(plans: Sequence[TensorPlan], parents: Parents, *, statistics: Statistics) -> Iterator[Tensor]:
    """Yield `carry_out` of every plan, in order; tensors after the one that is yielded are being made meanwhile.

    What is not elementwise is made alone: torch sums products of matrices in an order that depends on its threads.
    """
    if torch.get_num_threads() == 1:
        yield from (carry_out(plan, parents, statistics=statistics) for plan in plans)
        return
    waiting, begun = deque(plans), deque[tuple[int, Future[Tensor]]]()
    held = 0
    with separate_threads() as pool:
        while waiting or begun:
            while waiting and _is_small(waiting[0]) and held < _AT_ONCE:
                plan = waiting.popleft()
                held += prod(plan.shape)
                begun.append((prod(plan.shape), pool.submit(carry_out, plan, parents, statistics=statistics)))
            if begun:
                size, made = begun.popleft()
                yield made.result()
                held -= size
            else:
                yield carry_out(waiting.popleft(), parents, statistics=statistics)


def _is_small(plan: TensorPlan) -> bool:
    return prod(plan.shape) < _LARGE and is_elementwise(plan)
