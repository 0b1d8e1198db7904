"""How often each row of a layer's input counts: prompts share prefixes, and experts see some of the tokens."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.statistics.products import Product

_EXPERT = re.compile(r"(.*\bexperts?\.\d+)\.")  # a module among those that see some of the tokens each


def expert_of(product: Product) -> str | None:
    """Return a name for the expert that a product belongs to, None for one that sees every token."""
    if product.expert is not None:
        return f"{product.weight.rpartition('.')[0]}[{product.expert}]"
    return expert_path(product.weight)


def expert_path(weight: str) -> str | None:
    """Return the path of the expert's module that a parameter lies in, if there is one."""
    found = _EXPERT.match(weight)
    return None if found is None else found[1]


class TokenCounts:
    """The counts of one forward pass, for rows in the order of the tokens, or for some of the tokens in any order.

    An expert's rows are copies of rows of what its experts' module was given, so their counts are those of equal rows;
    equal rows are routed alike, so it does not matter which of them one is taken for.
    """

    def __init__(self, counts: Tensor) -> None:
        """Begin a pass with counts (n_tokens,), at least 0."""
        self._counts = counts.detach().reshape(-1).double()
        self._alike = len(counts) > 0 and bool((self._counts == self._counts[0]).all())
        self._sources: dict[int, Tensor] = {}  # n -> the last (n_tokens, n) that experts choose from
        self._routed: dict[str, Tensor] = {}  # expert -> counts of its rows

    @property
    def total(self) -> float:
        """Number of tokens, each as often as it counts."""
        return float(self._counts.sum())

    def offer(self, hidden: Tensor) -> None:
        """Take note of what a module of experts was given."""
        if hidden.dim() >= 2 and hidden.numel() == len(self._counts) * hidden.shape[-1]:
            self._sources[int(hidden.shape[-1])] = hidden.reshape(-1, hidden.shape[-1])

    def follow(self, product: Product) -> None:
        """Keep track of which tokens an expert sees, where its products are not asked for."""
        if not self._alike and expert_of(product) is not None:
            self._of_expert(product)

    def of(self, product: Product, n_rows: int) -> Tensor:
        """Return the counts (n_rows,) of a product's rows, float64.

        Raises:
            SpaceError: it is not known which tokens the rows belong to.
        """
        counts = self._counts.to(product.source.device)
        n_tokens = len(counts)
        if self._alike and n_tokens:
            return counts[:1].expand(n_rows)
        if expert_of(product) is not None:
            return self._of_expert(product)
        if product.window is not None and n_tokens != len(product.source):
            return self._of_places(product, n_rows)
        if n_tokens and n_rows % n_tokens == 0:  # as rows of an image's patches
            return counts.repeat_interleave(n_rows // n_tokens)
        raise SpaceError(
            f"{product.weight}: expected input rows for each of {n_tokens} tokens, found {n_rows}: it is not known how "
            "often each counts; leave such layers out of the statistics"
        )

    def _of_places(self, product: Product, n_rows: int) -> Tensor:
        """Return counts where a convolution runs along the tokens; places after the last token count 0."""
        batch, length = len(product.source), int(product.source.shape[-1])
        places = n_rows // batch
        if product.source.dim() != 3 or batch * length < len(self._counts) or len(self._counts) % batch:
            raise SpaceError(
                f"{product.weight}: expected an image or a sequence for each of {len(self._counts)} counts, found "
                f"{tuple(product.source.shape)}"
            )
        given = self._counts.to(product.source.device).view(batch, -1)
        counts = given.new_zeros(batch, places)
        n = min(places, given.shape[1])
        counts[:, :n] = given[:, :n]
        return counts.flatten()

    def _of_expert(self, product: Product) -> Tensor:
        expert = expert_of(product)
        assert expert is not None
        rows = product.source.reshape(-1, product.source.shape[-1])
        source = self._sources.get(int(rows.shape[1]))
        found = None if source is None else self._matched(rows, source)
        if found is None:
            found = self._routed.get(expert)  # the second of its layers: the rows are the first one's
        if found is None or len(found) != len(rows):
            raise SpaceError(
                f"{product.weight}: expected rows that are copies of what its experts were given, found others; "
                "choose prompts without shared prefixes, so that every token counts once"
            )
        self._routed[expert] = found
        return found

    def _matched(self, rows: Tensor, source: Tensor) -> Tensor | None:
        marks, order = _marks(source).sort()
        wanted = _marks(rows)
        places = torch.searchsorted(marks, wanted).clamp(max=len(marks) - 1)
        if not marks[places].equal(wanted):
            return None
        return self._counts.to(source.device)[order[places]]


def _marks(rows: Tensor) -> Tensor:
    """Return a number for each row, (R,) int64: equal for rows of equal bits, for others different but by chance."""
    bits = rows.detach().float().contiguous().view(torch.int32)
    generator = torch.Generator().manual_seed(0)
    odd = torch.randint(-(2**62), 2**62, (rows.shape[1],), generator=generator).to(rows.device) * 2 + 1
    return torch.cat([(part.long() * odd).sum(dim=1) for part in torch.split(bits, 1024)])
