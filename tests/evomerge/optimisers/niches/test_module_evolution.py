"""M2N2 on plain torch modules: what it writes into them, and that it finds what joins two parents."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.niches.module_evolution import ModuleEvolution
from evomerge.optimisers.niches.niches import Competition
from search_spaces.errors import SpaceError
from search_spaces.spaces.niches.individual import Individual


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def likeness(module: nn.Module, wanted: dict[str, Tensor]) -> np.ndarray:
    """One score per parameter: whether it is nearly the wanted one."""
    state = module.state_dict()
    return np.concatenate([((state[n] - w).abs() < 0.05).flatten().double().numpy() for n, w in wanted.items()])


def crossed(parents: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The first layer of one parent and the last of the other."""
    return {n: parents[int(n.startswith("2"))][n] for n in parents[0] if "weight" in n or "bias" in n}


@pytest.mark.parametrize("mutation", [0.0, 1e-3])
def test_it_finds_the_first_half_of_one_parent_with_the_second_half_of_another(mutation: float) -> None:
    parents = [network(seed).state_dict() for seed in (1, 2)]
    wanted = crossed(parents)
    evolution = ModuleEvolution(
        network(0), parents, lambda m: likeness(m, wanted), seed=0, population=10, mutation=mutation
    )
    for _ in range(500):
        evolution.step()
    assert evolution.evaluations == 500
    assert len(evolution.members) == 10
    evolution.become(evolution.best.individual)
    assert likeness(evolution.module, wanted).mean() == evolution.best.scores.mean() > 0.9


def test_the_parents_come_first_and_are_written_bit_for_bit() -> None:
    parents = [network(seed).state_dict() for seed in (1, 2)]
    seen: list[dict[str, Tensor]] = []

    def score(module: nn.Module) -> list[float]:
        seen.append({name: tensor.clone() for name, tensor in module.state_dict().items()})
        return [1.0, 0.5]

    evolution = ModuleEvolution(network(0), parents, score, seed=0, stored_parameters=0)
    for _ in range(3):
        evolution.step()
    for state, parent in zip(seen, parents, strict=False):
        assert all(state[name].equal(parent[name]) for name in parent)
    assert any(not seen[2][name].equal(parents[0][name]) for name in parents[0])


def test_individuals_are_combinations_unless_they_mutate() -> None:
    parents = [network(seed).state_dict() for seed in (1, 2)]
    for mutation, kind in ((0.0, Individual), (0.1, np.ndarray)):
        evolution = ModuleEvolution(
            network(0), parents, lambda _: [1.0, 0.0], seed=0, mutation=mutation, stored_parameters=0
        )
        for _ in range(3):
            evolution.step()
        assert all(isinstance(member.individual, kind) for member in evolution.members)


def test_weights_that_are_shared_are_flattened_once_and_stay_shared() -> None:
    def tied() -> nn.Module:
        module = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
        module[1].weight = module[0].weight
        return module

    parents = [tied().state_dict(), tied().state_dict()]
    evolution = ModuleEvolution(tied(), parents, lambda _: [1.0], seed=0)
    for _ in range(4):
        evolution.step()
    assert evolution.members[0].individual.size == 9
    assert evolution.module[1].weight is evolution.module[0].weight


def test_the_same_seed_is_the_same_search() -> None:
    parents = [network(seed).state_dict() for seed in (1, 2)]

    def search(seed: int) -> list[np.ndarray]:
        options = {"population": 4, "competition": Competition(alpha=0.5), "angle": "side", "split": "tensor"}
        evolution = ModuleEvolution(network(0), parents, lambda m: likeness(m, parents[0]), seed=seed, **options)
        for _ in range(30):
            evolution.step()
        return [np.asarray(member.individual) for member in evolution.members]

    assert all(map(np.array_equal, search(1), search(1)))
    assert not all(map(np.array_equal, search(1), search(2)))


def test_a_parent_that_does_not_fit_is_named() -> None:
    parents = [network(1).state_dict(), nn.Linear(3, 4).state_dict()]
    with pytest.raises(SpaceError, match=r"parents: expected 0.weight of the shape \(4, 3\), found None"):
        ModuleEvolution(network(0), parents, lambda _: [1.0], seed=0)


def test_scores_that_are_not_finite_or_change_their_number_are_refused() -> None:
    parents = [network(seed).state_dict() for seed in (1, 2)]
    with pytest.raises(ValueError, match="score: expected finite scores, found NaN"):
        ModuleEvolution(network(0), parents, lambda _: [float("nan")], seed=0).step()
    lengths = iter([2, 3])
    evolution = ModuleEvolution(network(0), parents, lambda _: [1.0] * next(lengths), seed=0)
    evolution.step()
    with pytest.raises(OptimiserError, match="expected 2 scores"):
        evolution.step()
