"""M2N2 on any torch module that a Python function can score: the library's way in, where there is no campaign."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.niches.m2n2 import DEFAULT_POPULATION, Crossing, M2N2Search, Member
from evomerge.optimisers.niches.niches import Competition
from search_spaces.errors import SpaceError
from search_spaces.recipes.flat_layout import FlatLayout, Split
from search_spaces.spaces.niches.crossover import Angle, Crossover, GramMatrices
from search_spaces.spaces.niches.individual import Individual
from search_spaces.spaces.niches.stored_crossover import StoredCrossover

Score = Callable[[nn.Module], ArrayLike]
_STORED = 1 << 24  # parameters of a whole population: 64 MiB


class ModuleEvolution:
    """Evolve a module's weights out of several parents', with competition and attraction.

        evolution = ModuleEvolution(network, [a.state_dict(), b.state_dict()], score, seed=0)
        for _ in range(1000):
            evolution.step()
        evolution.become(evolution.best.individual)

    Individuals are combinations of the parents (`search_spaces.spaces.niches`), so the memory is that of the parents
    whatever the population; with mutation, without crossover, or where the whole population is small, each is a float32
    vector, which is faster. The flattened order is that of the module's own state dict: every floating-point tensor
    once, where it comes first.

    Args:
        module: overwritten in place by every individual; its tensors are contiguous.
        parents: state dicts, at least one; with the module's tensors and shapes.
        score: returns (n_items,) scores of the module, of the same items in the same order every time; at least 0,
            higher is better.
        seed: names the stream of random numbers, at least 0.
        population: see `M2N2Search`.
        competition: see `M2N2Search`.
        split: see `Crossover`.
        angle: see `Crossover`.
        mutation: see `StoredCrossover`; 0 mutates nothing.
        recombines: see `StoredCrossover`.
        stored_parameters: a population of no more parameters than this is kept as vectors.

    Raises:
        SpaceError: a parent lacks a tensor, or has it in another shape; or an option is out of range.
        OptimiserError: see `M2N2Search`.
    """

    def __init__(  # noqa: PLR0913 -- one argument per choice that the method leaves open
        self,
        module: nn.Module,
        parents: Sequence[Mapping[str, Tensor]],
        score: Score,
        *,
        seed: int,
        population: int = DEFAULT_POPULATION,
        competition: Competition | None = None,
        split: Split = "param",
        angle: Angle = "global",
        mutation: float = 0.0,
        recombines: bool = True,
        stored_parameters: int = _STORED,
    ) -> None:
        self.module = module
        self._score = score
        targets = _floating(module.state_dict())
        self._layout = FlatLayout(tuple(targets), tuple(t.numel() for t in targets.values()))
        self._targets = [target.view(-1) for target in targets.values()]
        self._flat = np.empty(self._layout.size, dtype=np.float32)
        self._parts = torch.split(torch.from_numpy(self._flat), list(self._layout.sizes))
        self._stacked = torch.stack([_flattened(parent, targets) for parent in parents])
        self._parents = self._stacked.numpy()
        self._parents.flags.writeable = False
        crossing: Crossing[Any]
        if mutation == 0.0 and recombines and population * self._layout.size > stored_parameters:
            crossing = Crossover(GramMatrices(self._layout, len(parents), self._flat_tensors), split, angle)
        else:
            crossing = StoredCrossover(tuple(self._parents), self._layout, split, angle, recombines, mutation)
        self._optimiser: M2N2Search[Any] = M2N2Search(
            crossing, seed=seed, population=population, competition=competition
        )
        self._evaluations = 0
        self._n_items: int | None = None

    @property
    def evaluations(self) -> int:
        """How many individuals were scored so far, the parents included."""
        return self._evaluations

    @property
    def members(self) -> tuple[Member[Any], ...]:
        """The population at this moment."""
        return self._optimiser.members

    @property
    def best(self) -> Member[Any]:
        """The member of the highest mean score, the one of the oldest place among equals."""
        return max(self._optimiser.members, key=lambda member: float(member.scores.mean()))

    def step(self) -> None:
        """Score one more individual and learn from it; the parents come first."""
        (individual,) = self._optimiser.ask(1)
        self.become(individual)
        with torch.no_grad():
            scores = np.asarray(self._score(self.module), dtype=np.float64)
        self._check(scores)
        self._optimiser.receive(self._evaluations, scores)
        self._evaluations += 1

    def _check(self, scores: NDArray[np.float64]) -> None:
        if not np.isfinite(scores).all():
            raise OptimiserError("score: expected finite scores, found NaN or infinity")
        self._n_items = scores.size if self._n_items is None else self._n_items
        if scores.shape != (self._n_items,):
            raise OptimiserError(f"score: expected {self._n_items} scores as before, found the shape {scores.shape}")

    def become(self, individual: Individual | NDArray[np.float32]) -> None:
        """Write an individual's weights into the module."""
        self._flat[:] = self._combined(individual) if isinstance(individual, Individual) else individual
        for part, target in zip(self._parts, self._targets, strict=True):
            target.copy_(part)

    def _combined(self, individual: Individual) -> NDArray[np.float32]:
        lengths = np.diff(individual.boundaries)
        flat = np.zeros(self._layout.size, dtype=np.float32)
        for shares, parent in zip(individual.coefficients.T.astype(np.float32), self._parents, strict=True):
            flat += np.repeat(shares, lengths) * parent
        return flat

    def _flat_tensors(self, i: int) -> list[Tensor]:
        first, stop = self._layout.starts[i : i + 2].tolist()
        return list(self._stacked[:, first:stop])


def _floating(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the floating-point tensors that are not empty, of those that share memory the first."""
    found: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in state.items():
        if tensor.is_floating_point() and tensor.numel():
            found.setdefault(tensor.data_ptr(), (name, tensor))
    return dict(found.values())


def _flattened(parent: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    for name, target in targets.items():
        found = tuple(parent[name].shape) if name in parent else None
        if found != tuple(target.shape):
            raise SpaceError(f"parents: expected {name} of the shape {tuple(target.shape)}, found {found}")
    parts = [parent[name].detach().to("cpu", torch.float32).reshape(-1) for name in targets]
    return torch.cat(parts)
