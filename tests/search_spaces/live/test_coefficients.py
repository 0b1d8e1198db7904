from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from search_spaces.errors import SpaceError
from search_spaces.layers.architecture import build_module
from search_spaces.live.coefficients import CoefficientModel
from search_spaces.merging.materialise import merged_tensor
from search_spaces.parents.parents import Parents
from search_spaces.recipes.groups import Groups
from tests.conftest import Family, save_model
from tests.search_spaces.merging.recipes import altered, opened

MERGED = ("alpha", "beta")
MLP = "model.layers.0.mlp.up_proj.weight"
EMBEDDING = "model.embed_tokens.weight"
IDS = torch.randint(1, 40, (3, 9), generator=torch.Generator().manual_seed(0))


def coefficients(parents: Parents, per: str = "tensor", *, compute: torch.dtype = torch.float64, **options: object):
    module = build_module(parents["base"], compute_dtype=compute)
    return CoefficientModel(module, parents, base="base", merged=MERGED, per=per, **options)


def loss_of(module: nn.Module, weight: float = 8.0) -> Tensor:
    """The likelihood of some tokens, made steep."""
    logits = module(IDS).logits[:, :-1] * weight
    return nn.functional.cross_entropy(logits.flatten(0, 1), IDS[:, 1:].flatten())


def some_values(model: CoefficientModel, seed: int = 0) -> Tensor:
    return torch.rand(model.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def slope_at(model: CoefficientModel, values: Tensor) -> Tensor:
    model.become(values)
    loss_of(model.model).backward()
    return model.slope()


def difference(model: CoefficientModel, values: Tensor, place: tuple[int, int], step: float = 0.02) -> float:
    """The central difference of fourth order: the weights are rounded to float32, so that the step is not small."""

    def loss_at(distance: float) -> float:
        moved = values.clone()
        moved[place] += distance
        model.become(moved)
        with torch.no_grad():
            return float(loss_of(model.model))

    near, far = (loss_at(k * step) - loss_at(-k * step) for k in (1, 2))
    return (8 * near - far) / (12 * step)


def check_slope(model: CoefficientModel, n: int = 8) -> None:
    values = some_values(model)
    slope = slope_at(model, values)
    assert slope.shape == model.shape
    assert slope.dtype is torch.float64
    chosen = torch.randperm(slope.numel(), generator=torch.Generator().manual_seed(1))[:n].tolist()
    largest = float(slope.abs().max())
    for flat in [*chosen, int(slope.abs().argmax())]:
        place = divmod(flat, slope.shape[1])
        assert float(slope[place]) == pytest.approx(difference(model, values, place), rel=2e-3, abs=1e-4 * largest)


@pytest.mark.parametrize("of", ["task_vectors", "weights"])
@pytest.mark.parametrize("per", ["model", "group", "tensor", "column"])
def test_slopes_are_the_finite_differences(parents: Parents, per: str, of: str) -> None:
    check_slope(coefficients(parents, per, of=of, groups=Groups(2)))


@pytest.mark.parametrize(
    "groups", [Groups(2, ("mlp", "other")), Groups(2, ("all",)), Groups(3, depth="linear"), Groups(1, ("attention",))]
)
def test_slopes_of_any_groups_are_the_finite_differences(tmp_path: Path, groups: Groups) -> None:
    from tests.conftest import make_family

    deep = opened(make_family(tmp_path, layers=5).parents)
    check_slope(coefficients(deep, "group", groups=groups))


def test_slopes_of_an_untied_model_are_the_finite_differences(untied: Family) -> None:
    check_slope(coefficients(opened(untied.parents)), n=3)


def test_slopes_of_experts_that_transformers_fuses_are_the_finite_differences(tmp_path: Path) -> None:
    model = coefficients(experts(tmp_path))
    model.model.set_experts_implementation("eager")
    check_slope(model, n=24)


def experts(root: Path) -> Parents:
    from transformers import MixtralConfig, MixtralForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_local_experts": 3}
    config = MixtralConfig(
        vocab_size=49, **sizes, num_experts_per_tok=2, num_attention_heads=4, num_key_value_heads=2, pad_token_id=0
    )
    directories = {}
    for seed, name in enumerate(("base", *MERGED)):
        torch.manual_seed(0)
        model = MixtralForCausalLM(config)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters() if seed else ():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.02)
        directories[name] = save_model(root / name, model)
    return opened(directories)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("of", ["task_vectors", "weights"])
@pytest.mark.parametrize(
    ("per", "groups"),
    [("model", Groups()), ("tensor", Groups()), ("group", Groups(2)), ("group", Groups(2, ("mlp",), "linear"))],
)
def test_what_it_becomes_is_the_recipes_merge_bit_for_bit(
    parents: Parents, per: str, groups: Groups, of: str, dtype: str
) -> None:
    model = coefficients(parents, per, groups=groups, of=of, dtype=dtype, compute=torch.float32)
    values = some_values(model, 1) * 1.5
    model.become(values)
    recipe, state = model.recipe(values), model.model.state_dict()
    for name in parents["base"].names:
        assert state[name].equal(merged_tensor(recipe, parents, name).to(torch.float32)), name


def test_tensors_have_coefficients_of_their_own_though_one_name_is_a_part_of_anothers(tmp_path: Path, family) -> None:
    def bare(tensors: dict[str, Tensor]) -> None:
        for name in list(tensors):
            tensors[name.removeprefix("model.")] = tensors.pop(name)

    parents = opened({n: altered(path, tmp_path / n, bare) for n, path in family.parents.items()})
    model = coefficients(parents)
    assert "norm.weight" in model.places.names
    check_slope(model, n=4)
    values = torch.zeros(model.shape)
    values[0, model.places.names.index("norm.weight")] = 1.0
    model.become(values)
    written = dict(model.model.named_parameters())
    for name in parents["base"].names:
        source = "alpha" if name == "norm.weight" else "base"
        assert written[f"model.{name}"].equal(parents[source].tensor(name).double()), name


def test_columns_are_multiplied_by_their_coefficients(parents: Parents) -> None:
    model = coefficients(parents, "column")
    values = some_values(model)
    model.become(values)
    ((start, stop, _),) = model.places.of[MLP]
    w0, w1, w2 = (parents[n].tensor(MLP).double() for n in ("base", *MERGED))
    c1, c2 = values[:, start:stop]
    expected = w0 + (w1 - w0) @ torch.diag(c1) + (w2 - w0) @ torch.diag(c2)
    torch.testing.assert_close(model.model.get_parameter(MLP).detach(), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("per", ["model", "tensor", "column"])
def test_a_parent_with_all_the_weight_is_that_parent(parents: Parents, per: str) -> None:
    model = coefficients(parents, per, of="weights", compute=torch.float32)
    values = torch.zeros(model.shape)
    values[1] = 1.0
    model.become(values)
    state = model.model.state_dict()
    assert all(state[name].equal(parents["beta"].tensor(name)) for name in parents["base"].names)


def test_columns_have_no_recipe(parents: Parents) -> None:
    model = coefficients(parents, "column")
    with pytest.raises(SpaceError, match="recipe: expected coefficients per model, group or tensor, found per column"):
        model.recipe(some_values(model))


def test_no_gradient_outlives_its_tensors_turn(parents: Parents) -> None:
    model = coefficients(parents)
    model.become(some_values(model))
    held: list[int] = []
    for parameter in model.model.parameters():
        parameter.register_post_accumulate_grad_hook(
            lambda _: held.append(sum(p.grad is not None for p in model.model.parameters()))
        )
    loss_of(model.model).backward()
    assert held == [0] * len(list(model.model.parameters()))
    model.slope()
    assert all(parameter.grad is None for parameter in model.model.parameters())


def test_slopes_of_several_passes_are_summed_and_a_new_merge_begins_anew(parents: Parents) -> None:
    model = coefficients(parents, "model")
    values = some_values(model)
    once = slope_at(model, values)
    loss_of(model.model).backward()
    loss_of(model.model).backward()
    torch.testing.assert_close(model.slope(), 2 * once)
    loss_of(model.model).backward()
    torch.testing.assert_close(slope_at(model, values), once)


def test_coefficients_beyond_bounds_are_clamped_and_have_no_slope(parents: Parents) -> None:
    free, model = coefficients(parents, "model"), coefficients(parents, "model", bounds=(0.0, 1.0))
    outside, inside = torch.tensor([[-0.5], [0.5]]), torch.tensor([[0.0], [0.5]])
    slope = slope_at(model, outside)
    assert model.model.get_parameter(MLP).equal(merged_tensor(free.recipe(inside), parents, MLP).double())
    torch.testing.assert_close(slope, slope_at(free, inside) * torch.tensor([[0.0], [1.0]]))


def test_what_no_parent_changed_costs_no_gradient_and_the_others_keep_their_slopes(tmp_path: Path, family) -> None:
    base = opened(family.parents)["base"]

    def unchanged(tensors: dict[str, Tensor]) -> None:
        tensors[EMBEDDING] = base.tensor(EMBEDDING).clone()

    same = {n: altered(path, tmp_path / n, unchanged) for n, path in family.experts.items()}
    model = coefficients(opened({"base": family.base, **same}))
    first = slope_at(model, some_values(model))
    assert [name for name, p in model.model.named_parameters() if not p.requires_grad] == [EMBEDDING]
    torch.testing.assert_close(slope_at(model, some_values(model)), first)
    model.close()
    assert all(p.requires_grad and p.grad is None for p in model.model.parameters())


def test_what_no_group_holds_is_the_bases_and_wants_no_gradient(parents: Parents) -> None:
    model = coefficients(parents, "group", groups=Groups(2, ("mlp",)))
    slope_at(model, some_values(model))
    for name, parameter in model.model.named_parameters():
        assert parameter.requires_grad == (".mlp." in name)
        if ".mlp." not in name:
            assert parameter.equal(parents["base"].tensor(name).double())


def test_half_precision_has_the_slopes_of_the_rounded_weights(parents: Parents) -> None:
    half = coefficients(parents, "model", compute=torch.bfloat16, dtype="bfloat16")
    whole = coefficients(parents, "model", dtype="bfloat16")
    values = some_values(half)
    torch.testing.assert_close(slope_at(half, values), slope_at(whole, values), rtol=0.1, atol=0.02)


@pytest.mark.parametrize("per", ["model", "group", "tensor", "column"])
def test_of_two_parents_the_relevant_ones_coefficients_go_to_one(parents: Parents, per: str) -> None:
    model = coefficients(parents, per, compute=torch.float32)
    expert = build_module(parents["alpha"])
    expert.load_state_dict({n: parents["alpha"].tensor(n) for n in parents["alpha"].names}, strict=False)
    wanted = expert(IDS).logits.detach()
    values = torch.full(model.shape, 1 / 3, dtype=torch.float64)
    optimiser = torch.optim.Adam([values], lr=0.05)
    distances = []
    for _ in range(80):
        model.become(values)
        loss = (model.model(IDS).logits - wanted).square().mean()
        loss.backward()
        values.grad = model.slope()
        optimiser.step()
        distances.append(float(loss.detach()))
    assert distances[-1] < 0.02 * distances[0]
    if per == "model":
        torch.testing.assert_close(values[:, 0], torch.tensor([1.0, 0.0], dtype=torch.float64), rtol=0, atol=0.02)
    else:
        relevant, other = values.mean(dim=1).tolist()
        assert relevant > 0.5
        assert other < 0.25


def spoilt(change: Callable[[Tensor], Tensor]) -> Callable[[CoefficientModel], None]:
    return lambda model: model.become(change(some_values(model)))


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (spoilt(lambda v: v[:1]), r"coefficients: expected \(2, 1\) \(parents, places\), found \(1, 1\)"),
        (spoilt(lambda v: v / 0.0), "coefficients: expected finite numbers, found NaN or infinity"),
        (lambda model: model.slope(), "slope: expected a backward pass through the model since `become`, found none"),
    ],
)
def test_misuse_is_told(parents: Parents, act: Callable[[CoefficientModel], None], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        act(coefficients(parents, "model"))


def test_an_unknown_granularity_is_refused(parents: Parents) -> None:
    with pytest.raises(SpaceError, match=r"per: expected one of \['model', 'group', 'tensor', 'column'\], found 'row'"):
        coefficients(parents, "row")
