from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from search_spaces.errors import SpaceError
from search_spaces.layers.layer_behaviour import in_layer
from search_spaces.layers.sources import output_names, source_name
from search_spaces.merging.materialise import all_finite, merged_tensor
from search_spaces.merging.memory import MergeMemory
from search_spaces.merging.plan import plan_tensor
from search_spaces.operators.registry import OPERATORS
from search_spaces.parents.parents import Parents
from search_spaces.recipes.rule import Input, Rule, Where
from tests.conftest import Family
from tests.search_spaces.merging.random_statistics import write_statistics
from tests.search_spaces.merging.recipes import altered, copy_of, merge, opened, recipe, without

ATTENTION = "model.layers.1.self_attn.q_proj.weight"
MLP = "model.layers.0.mlp.up_proj.weight"
EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
REQUIRED = {
    name: [n for n, kind in operator.kinds.items() if kind.default is None] for name, operator in OPERATORS.items()
}
WEIGHTED = sorted(
    name
    for name, operator in OPERATORS.items()
    if "weight" in operator.input_parameters and set(REQUIRED[name]) <= {"weight"}
)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("operator", ["linear", "task_arithmetic", "ties", "dare_ties"])
@pytest.mark.parametrize("parent", ["alpha", "beta"])
def test_a_parent_alone_materialises_bit_equal_to_the_parent(
    parents: Parents, operator: str, parent: str, dtype: str
) -> None:
    inputs = tuple(Input(name, {"weight": float(name == parent)}) for name in ("alpha", "beta"))
    alone = recipe(parents, Rule(operator, inputs), dtype=dtype)
    for name in output_names(alone, parents):
        expected = parents[parent].tensor(name).to(getattr(torch, dtype))
        assert merged_tensor(alone, parents, name).equal(expected), name


def test_a_merge_is_computed_in_float32_and_rounded_once(parents: Parents) -> None:
    third = merge(parents, dtype="bfloat16", alpha=1.0, beta=2.0)
    a, b = parents["alpha"].tensor(MLP), parents["beta"].tensor(MLP)
    exact = (a.double() + 2 * b.double()) / 3
    merged = merged_tensor(third, parents, MLP)
    assert merged.dtype is torch.bfloat16
    # bfloat16 rounds to 8 significant bits, so by 2^-8 at most; a second rounding would double that somewhere.
    assert ((merged.double() - exact).abs() <= exact.abs() * 2**-8 * 1.001).all()


def test_the_first_rule_that_matches_makes_the_tensor(parents: Parents) -> None:
    r = recipe(
        parents,
        copy_of("alpha", Where(layers=(1, 2), module="attention")),
        copy_of("base", Where(contains="up_proj")),
        copy_of("beta"),
    )
    found = {name: merged_tensor(r, parents, name) for name in (ATTENTION, MLP, EMBEDDING)}
    assert found[ATTENTION].equal(parents["alpha"].tensor(ATTENTION))
    assert found[MLP].equal(parents["base"].tensor(MLP))
    assert found[EMBEDDING].equal(parents["beta"].tensor(EMBEDDING))


def test_a_tensor_that_no_rule_matches_raises(parents: Parents) -> None:
    r = recipe(parents, copy_of("alpha", Where(module="mlp")))
    with pytest.raises(SpaceError, match=rf"expected one that matches the tensor {ATTENTION}, found none"):
        merged_tensor(r, parents, ATTENTION)


def test_a_wrong_rule_raises_where_it_is_used(parents: Parents) -> None:
    with pytest.raises(SpaceError, match=r"expected one of .*found 'tie'"):
        merged_tensor(merge(parents, "tie", alpha=1.0), parents, MLP)


def test_an_operator_that_fails_names_the_tensor(parents: Parents) -> None:
    with pytest.raises(SpaceError, match=rf"^{MLP}: weight: expected weights whose sum is not 0"):
        merged_tensor(merge(parents, alpha=1.0, beta=-1.0), parents, MLP)


def test_a_value_too_large_for_the_dtype_raises(parents: Parents) -> None:
    r = recipe(parents, Rule("passthrough", (Input("alpha", {"scale": 1e8}),)), dtype="float16")
    with pytest.raises(SpaceError, match=rf"{MLP}: expected finite values after passthrough, found NaN or infinity"):
        merged_tensor(r, parents, MLP)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("n", [1, 2, 33, 10_007])
def test_one_bad_element_anywhere_is_found(dtype: torch.dtype, value: float, n: int) -> None:
    for i in {0, n // 2, n - 1}:
        tensor = torch.ones(n, dtype=dtype)
        assert all_finite(tensor)
        tensor[i] = value
        assert not all_finite(tensor)
    assert all_finite(torch.ones(0))
    assert all_finite(torch.ones(3, dtype=torch.int64))


def test_random_masks_depend_on_seed_and_parent_and_tensor_but_not_on_order(parents: Parents) -> None:
    names = [name for name in output_names(merge(parents, alpha=1.0), parents) if "proj" in name]
    r = merge(parents, "dare_ties", alpha=0.7, beta=0.6)
    forwards = {name: merged_tensor(r, parents, name) for name in names}
    backwards = {name: merged_tensor(r, parents, name) for name in reversed(names)}
    assert all(forwards[name].equal(backwards[name]) for name in names)
    other = merge(parents, "dare_ties", seed=1, alpha=0.7, beta=0.6)
    assert not forwards[MLP].equal(merged_tensor(other, parents, MLP))
    # Two tensors of one shape, and two parents, get masks of their own.
    alone = merge(parents, "dare_linear", alpha=1.0)
    kept = [
        merged_tensor(alone, parents, n) != parents["base"].tensor(n) for n in names if n.endswith("up_proj.weight")
    ]
    beta = merged_tensor(merge(parents, "dare_linear", beta=1.0), parents, MLP) != parents["base"].tensor(MLP)
    assert not kept[0].equal(kept[1])
    assert not kept[0].equal(beta)


def test_kept_thresholds_change_nothing(parents: Parents) -> None:
    r, memory = merge(parents, "ties", alpha=0.9, beta=0.4), MergeMemory()
    for _ in range(2):
        for name in output_names(r, parents):
            assert merged_tensor(r, parents, name, memory=memory).equal(merged_tensor(r, parents, name))


def test_merging_does_not_write_to_the_parents(parents: Parents, tmp_path: Path) -> None:
    store, digests = write_statistics(parents, tmp_path)
    memory = MergeMemory(statistics=store)
    before = {n: {t: c.tensor(t).clone() for t in c.names} for n, c in parents.checkpoints.items()}
    for operator in WEIGHTED:
        r = replace(merge(parents, operator, alpha=0.8, beta=0.3), statistics=digests)
        for name in output_names(r, parents):
            merged_tensor(r, parents, name, memory=memory).zero_()
    assert all(parents[n].tensor(t).equal(before[n][t]) for n in before for t in before[n])


def test_buffers_that_are_not_floating_point_come_from_the_base(family: Family, tmp_path: Path) -> None:
    def with_buffer(value: int) -> dict[str, object]:
        return {"model.layers.0.counter": torch.tensor([value, 2**40])}

    directories = {
        name: altered(path, tmp_path / name, lambda tensors, v=v: tensors.update(with_buffer(v)))
        for v, (name, path) in enumerate(family.parents.items())
    }
    parents = opened(directories)
    merged = merged_tensor(merge(parents, alpha=1.0), parents, "model.layers.0.counter")
    assert merged.dtype is torch.int64
    assert merged.tolist() == [0, 2**40]


def test_a_tied_base_gives_no_head_even_if_parents_repeat_it(family: Family, tmp_path: Path) -> None:
    def repeat_head(tensors: dict[str, torch.Tensor]) -> None:
        tensors[HEAD] = tensors[EMBEDDING].clone()

    parents = opened({n: altered(path, tmp_path / n, repeat_head) for n, path in family.parents.items()})
    assert parents["alpha"].tied
    assert HEAD not in output_names(merge(parents, alpha=1.0), parents)


def test_an_untied_base_takes_a_tied_parents_embedding_as_its_head(family: Family, untied: Family) -> None:
    parents = opened({"base": untied.base, "alpha": family.experts["alpha"]})
    head = merged_tensor(merge(parents, alpha=1.0), parents, HEAD)
    assert head.equal(parents["alpha"].tensor(EMBEDDING))


def test_a_head_that_differs_from_the_embedding_is_not_tied_whatever_the_config_says(
    family: Family, tmp_path: Path
) -> None:
    def other_head(tensors: dict[str, torch.Tensor]) -> None:
        tensors[HEAD] = tensors[EMBEDDING] + 1

    assert not opened({"base": altered(family.base, tmp_path / "base", other_head)})["base"].tied


def test_a_parent_without_the_tensor_is_named(family: Family, tmp_path: Path) -> None:
    parents = opened({"base": family.base, "alpha": altered(family.experts["alpha"], tmp_path / "a", without(MLP))})
    with pytest.raises(SpaceError, match=rf"parent 'alpha': expected a tensor {MLP}, found none"):
        merged_tensor(merge(parents, alpha=1.0), parents, MLP)


def test_a_parent_of_another_shape_is_named(family: Family, tmp_path: Path) -> None:
    crop = lambda tensors: tensors.update({MLP: tensors[MLP][:3].clone()})  # noqa: E731
    parents = opened({"base": family.base, "alpha": altered(family.experts["alpha"], tmp_path / "a", crop)})
    with pytest.raises(
        SpaceError, match=rf"{MLP}: expected the shape \(64, 32\), found \(3, 32\) in .* parent 'alpha'"
    ):
        merged_tensor(merge(parents, alpha=1.0), parents, MLP)


def test_output_layers_are_made_from_the_layers_that_the_recipe_maps_them_to(parents: Parents) -> None:
    r = recipe(
        parents,
        copy_of("alpha", Where(layers=(0, 1))),
        copy_of("beta"),
        layers=({"alpha": 1}, {"beta": 0}, {"beta": 1, "base": 0}),
    )
    names = output_names(r, parents)
    assert len(names) == 2 + 3 * 9
    name = "model.layers.{}.mlp.up_proj.weight"
    for output, parent, layer in ((0, "alpha", 1), (1, "beta", 0), (2, "beta", 1)):
        assert merged_tensor(r, parents, name.format(output)).equal(parents[parent].tensor(name.format(layer)))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (({"alpha": 0}, {}), "expected a map of parents to layers for output layer 1, found none"),
        (({"alpha": 2},), "expected a layer of 'alpha' below 2, found 2 for output layer 0"),
        (({"base": 0},), "expected a layer of parent 'alpha' for output layer 0, found none"),
    ],
)
def test_a_layer_that_does_not_exist_is_named(
    parents: Parents, layers: tuple[dict[str, int], ...], message: str
) -> None:
    r = recipe(parents, copy_of("alpha"), layers=layers)
    with pytest.raises(SpaceError, match=message):
        [merged_tensor(r, parents, name) for name in output_names(r, parents)]


def test_the_layer_is_the_first_number_in_a_name() -> None:
    assert (
        in_layer("model.layers.3.mlp.experts.7.w1.weight", "model.layers", 11)
        == "model.layers.11.mlp.experts.7.w1.weight"
    )


def test_source_names_of_a_plain_recipe_are_the_output_names(parents: Parents) -> None:
    r = merge(parents, alpha=1.0)
    assert all(source_name(r, parents, name, "alpha") == name for name in output_names(r, parents))


def test_plans_are_equal_exactly_when_the_tensors_are_made_alike(parents: Parents) -> None:
    one, same = merge(parents, alpha=0.5), merge(parents, alpha=0.5)
    assert plan_tensor(one, parents, MLP) == plan_tensor(same, parents, MLP)
    for other in (
        merge(parents, alpha=0.25),
        merge(parents, seed=1, alpha=0.5),
        merge(parents, dtype="float16", alpha=0.5),
    ):
        assert plan_tensor(one, parents, MLP) != plan_tensor(other, parents, MLP)
