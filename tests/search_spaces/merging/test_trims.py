from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from search_spaces.layers.sources import output_names
from search_spaces.merging.materialise import merged_tensor
from search_spaces.merging.model_trims import ModelTrims
from search_spaces.merging.recent import Recent
from search_spaces.merging.trims import TrimCache
from search_spaces.operators.kernels.sparsify import density_steps
from search_spaces.operators.kernels.threshold import magnitudes_of, trim_to
from search_spaces.parents.parents import Parents
from search_spaces.recipes.rule import Input, Rule
from tests.search_spaces.merging.recipes import recipe
from tests.search_spaces.operators.slow_forms import keep_largest


def remembered(cache: TrimCache, magnitudes: Tensor, k: int) -> tuple[float, int]:
    return cache.trim(("parent", "tensor"), magnitudes.__getitem__, k, len(magnitudes), steps=density_steps)


@settings(deadline=None)
@given(
    n=st.integers(1, 700), share=st.floats(0, 1), levels=st.sampled_from([1, 2, 5, 40, 10**6]), seed=st.integers(0, 99)
)
def test_a_remembered_threshold_is_the_computed_one_at_every_count(
    n: int, share: float, levels: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    magnitudes = torch.randint(0, levels, (n,), generator=generator).float()  # few levels: many ties
    cache, k = TrimCache(), max(1, int(share * n))
    for count in (k, *density_steps(n)[::50], k, max(1, k - 1)):
        assert remembered(cache, magnitudes, count) == trim_to(magnitudes, count)


@pytest.mark.parametrize("kind", ["spread", "of bfloat16", "many zeros", "few levels", "heavy tails", "one value"])
def test_a_table_of_many_elements_is_that_of_sorting_them(kind: str) -> None:
    n, generator = 300_001, torch.Generator().manual_seed(0)
    normal, base = torch.randn(n, generator=generator), torch.randn(n, generator=generator)
    magnitudes = {
        "spread": normal,
        "of bfloat16": (base + 0.01 * normal).bfloat16().float() - base.bfloat16().float(),
        "many zeros": normal * (base > 1.0),
        "few levels": normal.mul(3.0).round(),
        "heavy tails": normal.mul(12.0).exp(),
        "one value": torch.full((n,), 0.25),
    }[kind].abs_()
    order = magnitudes.sort(descending=True, stable=True).indices
    cache = TrimCache()
    for k in density_steps(n)[:-1:5]:
        assert remembered(cache, magnitudes, k) == (float(magnitudes[order[k - 1]]), int(order[k - 1]))
    assert remembered(cache, magnitudes, n) == (-1.0, -1)


def test_one_pass_serves_every_density() -> None:
    magnitudes, cache = torch.rand(1000, generator=torch.Generator().manual_seed(0)), TrimCache()
    expected = trim_to(magnitudes, 250)
    remembered(cache, magnitudes, 500)
    # The same key promises the same magnitudes, so these zeros are not looked at.
    assert remembered(cache, torch.zeros(1000), 250) == expected


def test_a_count_between_the_steps_is_remembered_too() -> None:
    magnitudes, cache = torch.rand(1000, generator=torch.Generator().manual_seed(0)), TrimCache()
    expected = remembered(cache, magnitudes, 333)
    assert remembered(cache, torch.zeros(1000), 333) == expected == trim_to(magnitudes, 333)


def test_magnitudes_are_those_of_float32_differences() -> None:
    parent, base = torch.tensor([[3.0, -1.0]]), torch.tensor([[1.0, 1.5]])
    assert magnitudes_of(parent.view(-1), base.bfloat16().view(-1))(slice(None)).tolist() == [2.0, 2.5]
    assert parent.tolist() == [[3.0, -1.0]]


def test_a_threshold_is_checked_by_hand() -> None:
    kept = remembered(TrimCache(), torch.tensor([3.0, 1.0, 1.0, 0.5]), 2)
    assert kept == pytest.approx((1.0, 1))


def whole_model(parents: Parents, parent: str) -> Tensor:
    """The parent's task vector over the model, flat; a tied head counts once."""
    base = parents["base"]
    names = [name for name in base.names if not (base.tied and name == base.head)]
    return torch.cat([(parents[parent].tensor(n).float() - base.tensor(n).float()).flatten() for n in names])


@pytest.mark.parametrize("density", [1 / 256, 0.2, 0.5, 0.999, 1.0])
def test_the_threshold_keeps_the_share_of_the_whole_model(parents: Parents, density: float) -> None:
    magnitudes = whole_model(parents, "alpha").abs()
    trims = ModelTrims()
    for _ in range(2):
        kept = trims.trim(parents, "alpha", "base", density)
        k = int(density * magnitudes.numel() + 1e-9)
        smallest = magnitudes.sort(descending=True).values[k - 1]
        survivors = keep_largest(magnitudes.clone(), kept)
        assert torch.equal(survivors, magnitudes * (magnitudes >= smallest))


def test_of_a_parent_that_equals_the_base_everything_is_kept(parents: Parents) -> None:
    assert ModelTrims().trim(parents, "base", "base", 0.3).magnitude == -1.0


def test_ties_over_the_whole_model_trims_across_its_tensors(parents: Parents) -> None:
    inputs = tuple(Input(name, {"weight": 1.0, "density": 0.3}) for name in ("alpha", "beta"))
    merge = recipe(parents, Rule("ties", inputs, {"scope": "global"}), dtype="float32")
    deltas = {name: whole_model(parents, name) for name in ("alpha", "beta")}
    thresholds = {n: d.abs().sort(descending=True).values[int(0.3 * d.numel() + 1e-9) - 1] for n, d in deltas.items()}
    for name in output_names(merge, parents):
        base = parents["base"].tensor(name).float()
        kept = [parents[n].tensor(name).float() - base for n in ("alpha", "beta")]
        kept = [d * (d.abs() >= thresholds[n]) for n, d in zip(("alpha", "beta"), kept, strict=True)]
        sign = torch.where(kept[0] + kept[1] >= 0, 1.0, -1.0)
        agree = [(d * sign > 0).float() for d in kept]
        expected = (kept[0] * agree[0] + kept[1] * agree[1]) / (agree[0] + agree[1]).clamp(min=1)
        torch.testing.assert_close(merged_tensor(merge, parents, name), base + expected, rtol=0, atol=1e-6)


def test_what_was_asked_for_least_recently_goes_first() -> None:
    computed: list[str] = []
    recent: Recent[str] = Recent(4, len)

    def get(word: str) -> str:
        return recent.get(word, lambda: computed.append(word) or word)  # type: ignore[func-returns-value]

    for word in ("ab", "cd", "ab", "ef", "ab", "cd"):
        assert get(word) == word
    assert computed == ["ab", "cd", "ef", "cd"]


def test_a_value_larger_than_the_limit_is_not_kept() -> None:
    recent: Recent[str] = Recent(2, len)
    assert [recent.get("key", lambda word=word: word) for word in ("long", "longer")] == ["long", "longer"]  # type: ignore[misc]
    recent.get("short", lambda: "ab")
    recent.get("key", lambda: "long")
    assert recent.get("short", lambda: "computed again") == "ab"
