"""One pass over prompts that sums the Gram matrices there is room for, and what is known from passes before it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.architecture.parts import Part
from search_spaces.errors import SpaceError
from search_spaces.statistics.gram_sum import GramSum, gram_bytes
from search_spaces.statistics.layer_parameters import expert_index, layer_parameters, routers, split_experts
from search_spaces.statistics.products import Product, WeightProducts
from search_spaces.statistics.token_counts import TokenCounts, expert_of, expert_path

_Key = tuple[str, int | None]  # a parameter, and which of its experts if each has a tensor in the checkpoint


@dataclass
class _Unit:
    """Sums that are collected in one pass: of one input, or of inputs that are stacked."""

    n: int
    n_stacked: int | None
    routed: bool  # whether only some of the tokens come here
    sums: dict[int, GramSum]  # place in the stack -> sum

    def gram(self, total: float) -> Tensor:
        grams = {e: one.mean(total if self.routed else one.total) for e, one in self.sums.items()}
        if self.n_stacked is None:
            return grams[0]
        empty = torch.zeros(self.n, self.n)
        return torch.stack([grams.get(e, empty) for e in range(self.n_stacked)])


class GramPasses:
    """What is summed in this pass over the prompts, and what was in those before it."""

    def __init__(self, model: nn.Module, weights: Mapping[str, Sequence[Part]], limit_bytes: int) -> None:
        """Begin with nothing; see `grams.write_grams`."""
        self._model, self._limit = model, limit_bytes
        self._parameters = {n: p for n, p in layer_parameters(model).items() if n in weights}
        self._parts = {n: weights[n] for n in self._parameters}
        self._by_expert = split_experts(model, self._parts)
        self._leaders: dict[_Key, _Key] = {}  # whose input it is that is summed
        self._widths: dict[str, int] = {}  # n of each parameter that was seen
        self._names: dict[_Key, str] = {}  # leaders that are finished
        self._units: dict[_Key, _Unit] = {}
        self._recent: deque[tuple[Any, Tensor, _Key]] = deque(maxlen=8)
        self._counts: TokenCounts | None = None
        self._total = 0.0
        self.left: set[_Key] = set()  # what there was no room for
        self.input_first: set[str] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Sum what there is room for, of what is not finished, while the prompts are read."""
        self._units, self.left, self._total = {}, set(), 0.0
        with ExitStack() as stack:
            for module in routers(self._model, self._parameters):
                stack.callback(module.register_forward_pre_hook(self._offer, with_kwargs=True).remove)
            stack.enter_context(WeightProducts(self._parameters, self._see))
            yield
        self._recent.clear()
        self._counts = None

    def note(self, counts: Tensor) -> None:
        """Take the counts of the forward pass to come."""
        self._counts = TokenCounts(counts)
        self._total += self._counts.total
        self._recent.clear()

    def finished(self) -> Iterator[tuple[str, Tensor]]:
        """Give the Gram matrices of this pass, each freed as it is given."""
        for key in list(self._units):
            gram = self._units.pop(key).gram(self._total)
            if not gram.diagonal(dim1=-2, dim2=-1).isfinite().all():  # x² bounds the rest
                raise SpaceError(f"{key[0]}: expected finite inputs, found NaN or infinity; see the preflight")
            self._names[key] = self._name(key)
            yield self._names[key], gram

    def zeros(self) -> Iterator[tuple[str, Tensor]]:
        """Give what stands for the Gram matrices of experts that no token came to."""
        for n, name in self._zeros().items():
            yield name, torch.zeros(n, n)

    def shares(self) -> dict[str, str]:
        """Return checkpoint's tensor -> the name of its Gram matrix, once all are finished."""
        zeros = self._zeros()
        shares = {name: zeros[n] for name, n in self._unseen_experts()}
        for weight in self._parameters:
            for part in self._parts[weight]:
                leader = self._leaders.get(self._key_of(weight, part))
                if leader is not None:
                    shares[part.name] = self._names[leader]
        return shares

    def _zeros(self) -> dict[int, str]:
        """Return n -> the name of n·n zeros, which is that of the first weight that needs them."""
        names: dict[int, str] = {}
        for name, n in self._unseen_experts():
            names.setdefault(n, name)
        return names

    def _offer(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        if self._counts is not None and given:
            self._counts.offer(given[0])

    def _see(self, product: Product) -> None:
        if self._counts is None:
            raise SpaceError("statistics: expected the counts of a pass's tokens before it, found none; call `note`")
        key = product.weight, product.expert if product.weight in self._by_expert else None
        if product.weight in self._by_expert and product.expert is None:
            raise SpaceError(f"{product.weight}: expected experts that are run one by one, found all of them at once")
        self._widths[product.weight] = product.n_inputs
        if product.input_first:
            self.input_first.update(part.name for part in self._parts[product.weight])
        if self._leader(key, product) != key or key in self._names or key in self.left:
            self._counts.follow(product)
            return
        if key not in self._units and not self._admit(key, product):
            self.left.add(key)
            return
        rows = product.rows()
        counts = self._counts.of(product, rows.shape[1])
        for e, one in enumerate(rows, start=product.expert if key[1] is None and product.expert else 0):
            sums = self._units[key].sums
            if e not in sums:
                sums[e] = GramSum(product.n_inputs, product.source.device)
            sums[e].add(one, counts)

    def _admit(self, key: _Key, product: Product) -> bool:
        """Make room for a sum, if there is any."""
        n_stacked = product.n_stacked
        if key[1] is None and product.expert is not None:
            n_stacked = len(self._parameters[product.weight])
        routed = expert_of(product) is not None or (product.window is None and n_stacked is not None)
        unit = _Unit(product.n_inputs, n_stacked, routed, {})
        used = sum(gram_bytes(u.n) * (u.n_stacked or 1) for u in self._units.values())
        if self._units and used + gram_bytes(unit.n) * (unit.n_stacked or 1) > self._limit:
            return False
        self._units[key] = unit
        return True

    def _leader(self, key: _Key, product: Product) -> _Key:
        """Return whose input this is: of the layer that was given it first."""
        mark = mark_of(product)
        leader = next((leader for other, _, leader in self._recent if other == mark), None)
        if leader is None:
            self._recent.append((mark, product.source, key))  # held, so that no other tensor takes its place in memory
            leader = key
        known = self._leaders.setdefault(key, leader)
        if known not in (leader, key):
            raise SpaceError(
                f"{key[0]}: expected the input that {known[0]} has, as in the pass before, found another; the model "
                "does not treat all prompts alike"
            )
        return known

    def _key_of(self, weight: str, part: Part) -> _Key:
        if weight not in self._by_expert:
            return weight, None
        return weight, expert_index(part, self._parameters[weight])

    def _name(self, key: _Key) -> str:
        return next(part.name for part in self._parts[key[0]] if self._key_of(key[0], part) == key)

    def _unseen_experts(self) -> Iterator[tuple[str, int]]:
        """Give the checkpoint's tensors of experts that no token came to, and n of each."""
        for weight, parameter in self._parameters.items():
            width = self._widths.get(weight)
            if expert_path(weight) is not None and width is None:
                width = int(parameter.shape[1])
            for part in self._parts[weight]:
                if width is not None and self._key_of(weight, part) not in self._leaders:
                    yield part.name, width


def mark_of(product: Product) -> object:
    """Return what is equal for products of one input, as long as that is held."""
    x = product.source
    layout = None if x.is_contiguous() else (tuple(x.shape), x.stride())
    # Inference tensors do not count their changes.
    version = float(x.sum()) if x.is_inference() else x._version
    place = x.untyped_storage()._cdata, x.storage_offset(), x.numel(), x.shape[-1], layout
    return *place, product.window, product.n_stacked, version
