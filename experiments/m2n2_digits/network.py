"""The digits, the network that reads them, and the parents that an evolution begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import evomerge as em

N_PIXELS, N_HIDDEN, N_DIGITS = 64, 256, 10
SCALE = 0.01
"""Standard deviation of a new network's parameters, and of mutations."""
_BLOCKS = 2


@dataclass(frozen=True)
class Digits:
    """Images and their labels."""

    images: Tensor  # (n, 65) float32, grey values 0 to 16, and a 1 that the biases go with
    labels: Tensor  # (n,) int64

    @cached_property
    def in_blocks(self) -> Tensor:
        """The images, with empty ones added that fill the last of `_BLOCKS` equal blocks."""
        return nn.functional.pad(self.images, (0, 0, 0, -len(self.images) % _BLOCKS))

    def of(self, digits: range) -> Digits:
        """Return those of some digits only."""
        chosen = (self.labels >= digits.start) & (self.labels < digits.stop)
        return Digits(self.images[chosen], self.labels[chosen])


def load() -> tuple[Digits, Digits]:
    """Return scikit-learn's digits in their order: the first 80 % to evolve on (1,437), the rest to test (360)."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    n_train = int(0.8 * len(images))
    with_ones = np.concatenate([images, np.ones((len(images), 1))], axis=1)
    pixels, numbers = torch.from_numpy(with_ones.astype(np.float32)), torch.from_numpy(labels.astype(np.int64))
    return Digits(pixels[:n_train], numbers[:n_train]), Digits(pixels[n_train:], numbers[n_train:])


class Network(nn.Module):
    """64-256-10 with ReLU; 19,210 parameters, flattened weights (input, output) before biases, layer by layer.

    The biases of the hidden layer are the last row of its weights.
    """

    def __init__(self, *, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        shapes = ((N_PIXELS + 1, N_HIDDEN), (N_HIDDEN, N_DIGITS), (N_DIGITS,))
        drawn = [nn.Parameter(SCALE * torch.randn(shape, generator=generator)) for shape in shapes]
        self.hidden, self.output_weight, self.output_bias = drawn

    def forward(self, images: Tensor) -> Tensor:
        """Return (n, 10) logits."""
        return torch.addmm(self.output_bias, (images @ self.hidden).relu_(), self.output_weight)

    def correct(self, digits: Digits) -> NDArray[np.bool_]:
        """Return (n,) which digits it reads correctly.

        The same as by `forward`, but for gradients and for the shape of the second product: torch multiplies one tall
        matrix by ten columns four times as slowly as ten rows by a few wide ones, and numpy finds the largest of each
        column faster than torch.
        """
        blocks = digits.in_blocks
        with torch.no_grad():
            hidden = torch.mm(blocks, self.hidden).relu_().view(_BLOCKS, -1, N_HIDDEN)
            weight = self.output_weight.T.expand(_BLOCKS, -1, -1)
            logits = torch.baddbmm(self.output_bias[:, None], weight, hidden.transpose(1, 2)).numpy()
        right: NDArray[np.bool_] = logits.argmax(axis=1).ravel()[: len(digits.labels)] == digits.labels.numpy()
        return right


def unflattened(parameters: Sequence[float]) -> Network:
    """Return the network with these 19,210 parameters, in the order of `Network`."""
    network = Network(seed=0)
    torch.nn.utils.vector_to_parameters(torch.tensor(parameters, dtype=torch.float32), network.parameters())
    return network


def new_networks(seed: int) -> list[Network]:
    """Return two networks that know nothing."""
    return [Network(seed=em.seeds.stream_seed(seed, "m2n2_digits", name)) for name in ("first", "second")]


def halves(seed: int, digits: Digits) -> list[Network]:
    """Return two networks, each of its own start, that have learnt 0 to 4 and 5 to 9: ten full-batch steps of Adam."""
    networks = new_networks(seed)
    for network, half in zip(networks, (range(5), range(5, 10)), strict=True):
        known = digits.of(half)
        adam = torch.optim.Adam(network.parameters(), lr=3e-3)
        for _ in range(10):
            adam.zero_grad()
            loss: Any = nn.functional.cross_entropy(network(known.images), known.labels)
            loss.backward()
            adam.step()
    return networks
