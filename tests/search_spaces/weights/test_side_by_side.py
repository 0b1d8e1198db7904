from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from search_spaces.errors import SpaceError
from search_spaces.recipe import Input, Recipe, Rule
from search_spaces.weights import side_by_side
from search_spaces.weights.materialise import merged_tensor
from search_spaces.weights.parents import Parents
from search_spaces.weights.plan import plan_tensors
from search_spaces.weights.side_by_side import carry_out_all
from search_spaces.weights.sources import output_names
from search_spaces.weights.statistics import Statistics
from tests.conftest import Family
from tests.search_spaces.weights.recipes import altered, opened, recipe

# operator -> what each parent has
OPERATORS = {
    "linear": {"weight": 0.5},
    "ties": {"weight": 0.5, "density": 0.3},
    "della": {"weight": 0.5, "density": 0.3},
    "sce": {},
    "iso_c": {},
}


def recipe_of(operator: str, parents: Parents) -> Recipe:
    return recipe(parents, Rule(operator, tuple(Input(p, OPERATORS[operator]) for p in ("alpha", "beta"))))


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("at_once", [1, 1 << 25])
def test_tensors_come_in_order_with_the_bits_of_one_alone(
    operator: str, at_once: int, threads: int, parents: Parents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "_AT_ONCE", at_once)
    merge = recipe_of(operator, parents)
    names = list(output_names(merge, parents))
    plans = plan_tensors(merge, parents, names)
    made = carry_out_all([plans[name] for name in names], parents, statistics=Statistics(repeated=False))
    for name, tensor in zip(names, made, strict=True):
        assert tensor.equal(merged_tensor(merge, parents, name)), name
    assert torch.get_num_threads() == threads


def test_what_goes_wrong_in_a_thread_is_told_with_the_tensor(tmp_path: Path, family: Family, threads: int) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    broken = altered(family.experts["alpha"], tmp_path / "nan", lambda t: t.update({name: t[name] * torch.nan}))
    parents = opened({**family.parents, "alpha": broken})
    merge = recipe_of("ties", parents)
    plans = plan_tensors(merge, parents, output_names(merge, parents))
    with pytest.raises(SpaceError, match=f"{name}: expected finite values after ties"):
        list(carry_out_all(list(plans.values()), parents, statistics=Statistics(repeated=False)))
    assert torch.get_num_threads() == threads
