"""Ties make coarser spaces of a space, each of which the next one can express."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.recipes.groups import Groups
from search_spaces.spaces.space import Structure
from search_spaces.spaces.ties import TiedSpace, levels
from search_spaces.spaces.weight_space import WeightSpace
from tests.evomerge.toy import PARENTS

N_LAYERS = 12


def space(blocks: int, modules: tuple[str, ...], operators: tuple[str, ...] = ("task_arithmetic",)) -> WeightSpace:
    return WeightSpace(
        PARENTS,
        next(iter(PARENTS)),
        n_layers=N_LAYERS,
        operators=operators,
        groups=Groups(blocks, modules),
        genes={"weight": (0.0, 1.5)},
        operator_per="group" if len(operators) > 1 else "model",
    )


def sizes(one: WeightSpace) -> list[int]:
    return [int(owner.max()) + 1 for owner in levels(one.gene_names(), one.structure)]


def test_depth_is_split_before_modules_and_modules_before_finer_depth() -> None:
    n = len(PARENTS) - 1
    assert sizes(space(3, ("attention", "mlp"))) == [n, 3 * n, 6 * n]
    assert sizes(space(12, ("attention", "mlp"))) == [n, 3 * n, 6 * n, 18 * n, 24 * n]
    assert sizes(space(1, ("attention", "mlp"))) == [n, 2 * n]
    assert sizes(space(1, ("all",))) == [n]
    assert sizes(space(3, ("attention", "other"))) == [n, 4 * n]  # what spans the depth is no third of it


def test_genes_of_a_path_are_never_tied() -> None:
    one = space(3, ("attention",))
    free = Structure(one.dim, indicators=(0, 1), on=(0, 2), under={2: 0})
    for owner in levels(one.gene_names(), free):
        assert all(np.count_nonzero(owner == owner[gene]) == 1 for gene in (0, 1, 2))


@given(
    blocks=st.integers(1, N_LAYERS),
    modules=st.sampled_from([("all",), ("attention", "mlp"), ("attention", "mlp", "other")]),
    operators=st.sampled_from([("task_arithmetic",), ("task_arithmetic", "ties")]),
    seed=st.integers(0, 2**32 - 1),
)
def test_each_level_can_express_what_the_one_before_it_can(
    blocks: int, modules: tuple[str, ...], operators: tuple[str, ...], seed: int
) -> None:
    one = space(blocks, modules, operators)
    tied = [TiedSpace(one, owner) for owner in levels(one.gene_names(), one.structure)]
    rng = np.random.default_rng(seed)
    for coarse, fine in itertools.pairwise(tied):
        genome = rng.random(coarse.structure.dim)
        whole = coarse.expanded(genome)
        assert fine.holds(whole)
        assert (coarse.tied(whole) == genome).all()
        assert (fine.expanded(fine.tied(whole)) == whole).all()
        assert coarse.structure.dim < fine.structure.dim
        assert coarse.decode(genome) == fine.decode(fine.tied(whole)) == one.decode(whole)
    assert tied[-1].structure.dim == one.dim


@given(st.integers(0, 2**32 - 1))
def test_choices_are_tied_to_choices_and_other_genes_to_their_mean(seed: int) -> None:
    one = space(3, ("attention", "mlp"), ("task_arithmetic", "ties"))
    tied = TiedSpace(one, levels(one.gene_names(), one.structure)[0])
    genome = np.random.default_rng(seed).random(one.dim)
    found = tied.tied(genome)
    for gene, info in enumerate(tied.gene_names()):
        alike = [
            g
            for g, other in enumerate(one.gene_names())
            if (other.parameter, other.parent) == (info.parameter, info.parent)
        ]
        if gene in tied.structure.choices:
            assert found[gene] == genome[alike[0]]
        else:
            assert found[gene] == pytest.approx(genome[alike].mean())
    assert set(tied.structure.choices.values()) == {2}
