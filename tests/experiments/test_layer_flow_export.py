"""The export of a scaled path through a real model; needs what `python -m experiments.smollm` downloads and trains."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
import transformers

from search_spaces.layers.architecture import build_module
from search_spaces.live.layer_surgery import FlowResident
from search_spaces.output.export import export
from tests.search_spaces.live.flows import flow
from tests.search_spaces.merging.recipes import opened

MODELS = Path(__file__).parents[2] / "experiments" / "smollm" / "models"
# 35 steps: 20 layers taken in turn from two parents, then 15 of one of them.
PATH = [*(("base" if k % 3 else "letters", k) for k in range(20)), *(("letters", k) for k in range(15, 30))]
PRODUCTS = {
    "moderate": [0.25, 4.0, 0.47, 1.0, 2.1, 0.8, 3.3] * 5,
    "small": [0.47] * 35,
    "tiny": [0.002] * 35,
}
LIMITS = {"moderate": 1e-4, "small": 1e-4, "tiny": 2e-3}


@pytest.mark.slow
@pytest.mark.skipif(not (MODELS / "letters").is_dir(), reason="run `python -m experiments.smollm` first")
@pytest.mark.parametrize("products", PRODUCTS)
def test_the_export_of_a_scaled_path_through_smollm_gives_its_logits(products: str, tmp_path: Path) -> None:
    parents = opened({name: (MODELS / name).resolve() for name in ("base", "letters")})
    scales = [b / a for a, b in itertools.pairwise([1.0, *PRODUCTS[products]])]
    recipe = flow(parents, PATH, scales)
    [live] = FlowResident(build_module(parents["base"]), parents).assembled([recipe])
    plain = transformers.AutoModelForCausalLM.from_pretrained(export(recipe, parents, tmp_path / "out")).eval()
    tokens = torch.randint(0, 40_000, (2, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = live(tokens).logits, plain(tokens).logits
    difference = float((found - expected).abs().max() / expected.abs().max())
    print(f"largest difference of logits, relative: {difference:.1e}")
    assert difference < LIMITS[products]
