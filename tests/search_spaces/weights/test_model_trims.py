from __future__ import annotations

import pytest
import torch

from search_spaces.operators import sparsify
from search_spaces.recipe import Input, Rule
from search_spaces.weights.materialise import merged_tensor
from search_spaces.weights.model_trims import ModelTrims
from search_spaces.weights.parents import Parents
from search_spaces.weights.sources import output_names
from tests.search_spaces.weights.recipes import recipe


def whole(parents: Parents, parent: str) -> torch.Tensor:
    """The parent's task vector over the model, flat; a tied head counts once."""
    base = parents["base"]
    names = [name for name in base.names if not (base.tied and name == base.head)]
    return torch.cat([(parents[parent].tensor(n).float() - base.tensor(n).float()).flatten() for n in names])


@pytest.mark.parametrize("density", [1 / 256, 0.2, 0.5, 0.999, 1.0])
def test_the_threshold_keeps_the_share_of_the_whole_model(parents: Parents, density: float) -> None:
    magnitudes = whole(parents, "alpha").abs()
    trims = ModelTrims()
    for _ in range(2):
        kept = trims.trim(parents, "alpha", "base", density)
        k = int(density * magnitudes.numel() + 1e-9)
        smallest = magnitudes.sort(descending=True).values[k - 1]
        survivors = sparsify.keep_largest(magnitudes.clone(), kept)
        assert torch.equal(survivors, magnitudes * (magnitudes >= smallest))


def test_of_a_parent_that_equals_the_base_everything_is_kept(parents: Parents) -> None:
    assert ModelTrims().trim(parents, "base", "base", 0.3).magnitude == -1.0


def test_ties_over_the_whole_model_trims_across_its_tensors(parents: Parents) -> None:
    inputs = tuple(Input(name, {"weight": 1.0, "density": 0.3}) for name in ("alpha", "beta"))
    merge = recipe(parents, Rule("ties", inputs, {"scope": "global"}), dtype="float32")
    deltas = {name: whole(parents, name) for name in ("alpha", "beta")}
    thresholds = {n: d.abs().sort(descending=True).values[int(0.3 * d.numel() + 1e-9) - 1] for n, d in deltas.items()}
    for name in output_names(merge, parents):
        base = parents["base"].tensor(name).float()
        kept = [parents[n].tensor(name).float() - base for n in ("alpha", "beta")]
        kept = [d * (d.abs() >= thresholds[n]) for n, d in zip(("alpha", "beta"), kept, strict=True)]
        sign = torch.where(kept[0] + kept[1] >= 0, 1.0, -1.0)
        agree = [(d * sign > 0).float() for d in kept]
        expected = (kept[0] * agree[0] + kept[1] * agree[1]) / (agree[0] + agree[1]).clamp(min=1)
        torch.testing.assert_close(merged_tensor(merge, parents, name), base + expected, rtol=0, atol=1e-6)
