"""An operator from outside the repository: found by its dotpath, searched and merged like any other."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest
import torch

from evomerge.testing.operator_contract import OperatorContract
from search_spaces.errors import SpaceError
from search_spaces.merging.materialise import merged_tensor
from search_spaces.operators import registry
from search_spaces.operators.operator import Operator
from search_spaces.operators.recipe_facts import has_random_masks
from search_spaces.operators.registry import find_operator, register
from search_spaces.recipes.groups import Groups
from search_spaces.recipes.recipe import Recipe
from search_spaces.spaces.weight_space import WeightSpace
from tests.conftest import Family
from tests.search_spaces.merging.recipes import opened
from tests.search_spaces.operators.outside import CLIPPED

DOTPATH = "tests.search_spaces.operators.outside:CLIPPED"


class TestClipped(OperatorContract):
    @pytest.fixture
    def operator(self) -> Operator:
        return CLIPPED


def test_a_recipe_of_an_outside_operator_carries_its_dotpath_and_merges(family: Family) -> None:
    parents = opened(family.parents)
    sources = {name: checkpoint.source for name, checkpoint in parents.checkpoints.items()}
    genes = {"most": (0.001, 0.002)}
    space = WeightSpace(sources, "base", n_layers=2, operators=[DOTPATH], groups=Groups(2), genes=genes)  # type: ignore[arg-type]
    recipe = Recipe.from_json(space.decode([0.5] * space.dim).to_json())  # type: ignore[arg-type]
    assert {rule.operator for rule in recipe.rules} == {DOTPATH}
    assert not has_random_masks(recipe)
    name = "model.layers.0.mlp.up_proj.weight"
    change = merged_tensor(replace(recipe, dtype="float32"), parents, name) - parents["base"].tensor(name).float()
    assert 0.0 < float(change.abs().max()) < 0.003
    assert torch.equal(change, change.clamp(-0.0021, 0.0021))


def test_an_operator_is_looked_up_once_and_has_the_name_it_was_asked_by() -> None:
    assert find_operator(DOTPATH) is find_operator(DOTPATH)
    assert find_operator(DOTPATH) == replace(CLIPPED, name=DOTPATH)


def test_an_entry_point_names_an_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("plugged_clipped", DOTPATH, registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == registry.ENTRY_POINTS else [])
    assert find_operator("plugged_clipped") == replace(CLIPPED, name="plugged_clipped")
    with pytest.raises(SpaceError, match=r"did you mean 'plugged_clipped'\?"):
        find_operator("plugged_cliped")


def test_a_registered_operator_is_found_by_its_name_which_no_other_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", {})
    mine = replace(CLIPPED, name="mine")
    assert find_operator(register(mine).name) is mine is register(mine)
    for taken in (replace(CLIPPED, name="ties"), replace(CLIPPED, name="mine", ordered=True)):
        with pytest.raises(SpaceError, match=f"expected a name that no operator has, found '{taken.name}'"):
            register(taken)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nowhere_at_all.mod:OPERATOR",
            "to name an Operator in a module, found: No module",
        ),
        ("tests.search_spaces.operators.outside:CLIPT", "has no attribute 'CLIPT'"),
        ("tests.search_spaces.operators.outside:NO_OPERATOR", "to be an Operator with a method, found <function"),
        (":CLIPPED", "to name an Operator in a module"),
    ],
)
def test_what_names_no_operator_is_told(name: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        find_operator(name)
