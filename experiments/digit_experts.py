"""Networks that read scikit-learn's digits, fine-tuned from one start: merges of them are scored in a millisecond."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import evomerge as em

Floats = NDArray[np.float64]
N_TRAIN, N_SEARCH = 900, 450  # of 1,797; the rest is held out
NOWHERE = em.Recipe({"network": em.ParentSource("network")}, "network", (em.Rule("linear", ()),))


@dataclass(frozen=True)
class Digits:
    """Images (n, 64) in [0, 1] and their labels (n,)."""

    images: Tensor
    labels: Tensor

    def part(self, chosen: Tensor) -> Digits:
        """Return those that a mask or indices choose."""
        return Digits(self.images[chosen], self.labels[chosen])

    def of(self, digits: Sequence[int]) -> Digits:
        """Return those of some digits."""
        return self.part(torch.isin(self.labels, torch.tensor(list(digits))))


def splits(seed: int = 0) -> tuple[Digits, Digits, Digits]:
    """Return digits to train on, to search on and to test on, shuffled."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    digits = Digits(torch.from_numpy(images[order].astype(np.float32) / 16), torch.from_numpy(labels[order]))
    cuts = torch.arange(len(labels)).tensor_split([N_TRAIN, N_TRAIN + N_SEARCH])
    train, search, test = (digits.part(cut) for cut in cuts)
    return train, search, test


def new_network(seed: int) -> nn.Module:
    """Return a network 64-64-10 with ReLU that knows nothing."""
    generator = torch.Generator().manual_seed(seed)
    network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    for parameter in network.parameters():
        with torch.no_grad():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network


def trained(weights: Tensor, digits: Digits, *, steps: int, rate: float, seed: int, batch: int = 64) -> Tensor:
    """Return the flat weights (n,) after some steps of Adam."""
    network = new_network(0)
    nn.utils.vector_to_parameters(weights, network.parameters())
    adam = torch.optim.Adam(network.parameters(), lr=rate)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        drawn = digits.part(torch.randint(len(digits.labels), (batch,), generator=generator))
        adam.zero_grad()
        nn.functional.cross_entropy(network(drawn.images), drawn.labels).backward()  # type: ignore[no-untyped-call]
        adam.step()
    return flat(network)


def flat(network: nn.Module) -> Tensor:
    """Return the weights as one vector (n,)."""
    return nn.utils.parameters_to_vector(network.parameters()).detach().clone()


class Scorer:
    """Scores flat weights on tasks, each the digits of some classes."""

    def __init__(self, digits: Digits, tasks: Sequence[Sequence[int]]) -> None:
        self._network = new_network(0).requires_grad_(False)
        self._tasks = [digits.of(task) for task in tasks]

    def accuracies(self, weights: Tensor) -> Floats:
        """Return the accuracy on each task; (n_tasks,)."""
        nn.utils.vector_to_parameters(weights, self._network.parameters())
        return np.array(
            [float((self._network(task.images).argmax(dim=1) == task.labels).double().mean()) for task in self._tasks]
        )

    def evaluation(self, number: int, genome: Floats, values: Floats) -> em.Evaluation:
        """Return what a campaign would tell of values (n_tasks,)."""
        sizes = [len(task.labels) for task in self._tasks]
        objectives = tuple(
            em.ObjectiveEstimate(f"task {k + 1}", float(v), float(np.sqrt(v * (1 - v) / (n - 1))), n)
            for k, (v, n) in enumerate(zip(values, sizes, strict=True))
        )
        candidate = em.Candidate(number, NOWHERE, None, number, genome)
        return em.Evaluation(candidate, em.Estimate("search", objectives), em.ItemScores((), np.empty(0)))
