from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from search_spaces.errors import SpaceError
from search_spaces.layers.architecture import build_module
from search_spaces.layers.sources import output_names
from search_spaces.live.resident import ResidentModel
from search_spaces.merging.materialise import merged_tensor
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import Recipe
from search_spaces.recipes.rule import Input, Rule, Where
from tests.conftest import Family
from tests.search_spaces.merging.recipes import altered, copy_of, merge, opened, recipe, without

MLP = "model.layers.0.mlp.up_proj.weight"
EMBEDDING = "model.embed_tokens.weight"


def resident(parents: Parents, **options: torch.dtype) -> ResidentModel:
    return ResidentModel(build_module(parents["base"], **options), parents)


def holds(model: ResidentModel, r: Recipe, parents: Parents) -> bool:
    state = model.model.state_dict()
    return all(
        state[name].equal(merged_tensor(r, parents, name).to(state[name].dtype)) for name in output_names(r, parents)
    )


def grouped(parents: Parents, attention: float, mlp: float, operator: str = "linear") -> Recipe:
    """A recipe whose attention and mlp tensors have genes of their own."""
    inputs = {kind: (Input("alpha", {"weight": w}), Input("beta", {"weight": 1.0})) for kind, w in
              (("attention", attention), ("mlp", mlp))}  # fmt: skip
    rules = [Rule(operator, inputs[kind], where=Where(module=kind)) for kind in ("attention", "mlp")]
    return recipe(parents, *rules, copy_of("alpha"), dtype="bfloat16")


@pytest.mark.parametrize("operator", ["linear", "task_arithmetic", "ties", "dare_ties"])
def test_the_module_holds_exactly_the_rounded_values(parents: Parents, operator: str) -> None:
    model, r = resident(parents), merge(parents, operator, dtype="bfloat16", alpha=0.7, beta=0.4)
    model.become(r)
    assert next(model.model.parameters()).dtype is torch.float32
    assert holds(model, r, parents)


def test_the_module_may_compute_in_the_recipes_dtype(parents: Parents) -> None:
    model, r = resident(parents, compute_dtype=torch.bfloat16), merge(parents, dtype="bfloat16", alpha=0.7, beta=0.4)
    model.become(r)
    assert next(model.model.parameters()).dtype is torch.bfloat16
    assert holds(model, r, parents)


@pytest.mark.parametrize(("compute", "dtype"), [(torch.bfloat16, "float32"), (torch.float16, "bfloat16")])
def test_a_module_that_cannot_hold_the_rounded_values_is_refused(
    parents: Parents, compute: torch.dtype, dtype: str
) -> None:
    with pytest.raises(SpaceError, match=rf"the live model's {compute} cannot hold every torch\.{dtype}"):
        resident(parents, compute_dtype=compute).become(merge(parents, dtype=dtype, alpha=1.0))


def test_becoming_a_then_b_equals_becoming_b_afresh(parents: Parents) -> None:
    recipes = [
        merge(parents, alpha=1.0),
        merge(parents, alpha=1.0, dtype="bfloat16"),
        merge(parents, "ties", alpha=0.7, beta=0.6),
        merge(parents, "dare_ties", alpha=0.7, beta=0.6),
        merge(parents, "dare_ties", alpha=0.7, beta=0.6, seed=1),
        grouped(parents, 0.5, 0.5),
        grouped(parents, 0.5, 0.1),
    ]
    model = resident(parents)
    for a, b in itertools.permutations(recipes, 2):
        model.become(a)
        model.become(b)
        assert holds(model, b, parents)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    weights=st.lists(
        st.tuples(st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.0, 0.3, 1.0])), min_size=2, max_size=5
    )
)
def test_whatever_came_before_the_last_recipe_is_what_counts(
    parents: Parents, weights: list[tuple[float, float]]
) -> None:
    model = resident(parents)
    for attention, mlp in weights:
        model.become(grouped(parents, attention, mlp))
    assert holds(model, grouped(parents, *weights[-1]), parents)


def test_only_tensors_whose_making_changed_are_written(parents: Parents) -> None:
    model = resident(parents)
    model.become(grouped(parents, 0.5, 0.5))
    versions = {name: p._version for name, p in model.model.named_parameters()}
    model.become(grouped(parents, 0.5, 0.25))
    changed = {name for name, p in model.model.named_parameters() if p._version != versions[name]}
    assert changed == {name for name in versions if ".mlp." in name}


def test_a_change_from_outside_is_overwritten(parents: Parents) -> None:
    model, r = resident(parents), merge(parents, alpha=1.0)
    model.become(r)
    with torch.no_grad():
        model.model.get_parameter(MLP).zero_()
    model.become(r)
    assert holds(model, r, parents)


def test_a_recipe_that_fails_half_way_leaves_nothing_to_trust(parents: Parents) -> None:
    model, r = resident(parents), merge(parents, alpha=1.0)
    model.become(r)
    overflow = Rule("passthrough", (Input("alpha", {"scale": 1e38}),), where=Where(contains="norm.weight"))
    with pytest.raises(SpaceError, match="found NaN or infinity"):
        model.become(recipe(parents, overflow, copy_of("beta"), dtype="float16"))
    assert not holds(model, r, parents)
    model.become(r)
    assert holds(model, r, parents)


def test_tied_weights_stay_tied(parents: Parents) -> None:
    model = resident(parents)
    model.become(merge(parents, alpha=0.5, beta=0.5))
    assert model.model.lm_head.weight is model.model.model.embed_tokens.weight
    assert model.model.lm_head.weight.equal(merged_tensor(merge(parents, alpha=0.5, beta=0.5), parents, EMBEDDING))


def test_an_untouched_parameter_raises(family: Family, tmp_path: Path) -> None:
    whole = opened(family.parents)
    lacking = opened({n: altered(path, tmp_path / n, without(MLP)) for n, path in family.parents.items()})
    model = ResidentModel(build_module(whole["base"]), lacking)
    with pytest.raises(SpaceError, match=rf"{MLP}: the live model has this parameter, but no tensor of the base"):
        model.become(merge(lacking, alpha=1.0))


def test_a_tied_module_refuses_an_untied_base(untied: Family, family: Family) -> None:
    parents = opened(untied.parents)
    model = ResidentModel(build_module(opened(family.parents)["base"]), parents)
    with pytest.raises(SpaceError, match=r"expected a tensor of its own, but the live model ties it to"):
        model.become(merge(parents, alpha=1.0))


def test_an_untied_module_refuses_a_tied_base(untied: Family, parents: Parents) -> None:
    model = ResidentModel(build_module(opened(untied.parents)["base"]), parents)
    with pytest.raises(SpaceError, match=r"lm_head\.weight: the live model has this parameter"):
        model.become(merge(parents, alpha=1.0))


def test_another_depth_is_refused(parents: Parents) -> None:
    r = recipe(parents, copy_of("alpha"), layers=({"alpha": 0}, {"alpha": 1}, {"alpha": 1}))
    with pytest.raises(SpaceError, match="layers: expected 2 as the live model has, found 3"):
        resident(parents).become(r)


def test_another_order_of_layers_is_carried_out(parents: Parents) -> None:
    model, r = resident(parents), recipe(parents, copy_of("alpha"), layers=({"alpha": 1}, {"alpha": 0}))
    model.become(r)
    assert holds(model, r, parents)


def test_another_width_is_refused(parents: Parents, family: Family, tmp_path: Path) -> None:
    halve = lambda t: t.update({MLP: t[MLP][:32].clone()})  # noqa: E731
    narrow = opened({n: altered(path, tmp_path / n, halve) for n, path in family.parents.items()})
    model = ResidentModel(build_module(parents["base"]), narrow)
    with pytest.raises(SpaceError, match=rf"{MLP}: expected \(64, 32\) as the live model has it, found \(32, 32\)"):
        model.become(merge(narrow, alpha=1.0))


def test_any_module_with_matching_names_will_do(parents: Parents) -> None:
    tree = nn.Module()
    for name in parents["base"].names:
        *path, leaf = name.split(".")
        owner = tree
        for part in path:
            if part not in dict(owner.named_children()):
                owner.add_module(part, nn.Module())
            owner = owner.get_submodule(part)
        owner.register_parameter(leaf, nn.Parameter(torch.empty(parents["base"].shape(name))))
    model, r = ResidentModel(tree, parents), merge(parents, alpha=1.0)
    model.become(r)
    assert holds(model, r, parents)


def test_gradients_of_the_module_are_left_alone(parents: Parents) -> None:
    model = resident(parents)
    model.become(merge(parents, alpha=1.0))
    assert all(p.requires_grad and p.grad_fn is None for p in model.model.parameters())
