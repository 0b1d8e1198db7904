"""Agreement with the authors' released code, run once: tests/search_spaces/golden/spectral/README.md."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from search_spaces.recipes.rule import Parameter
from tests.search_spaces.operators.merging import merge, rule_of

AUTHORS = load_file(Path(__file__).parents[2] / "golden" / "spectral" / "authors.safetensors")
RESULTS = [name for name in AUTHORS if name.split(".")[2] != "base" and not name.split(".")[2].startswith("parent")]
VALUE = {"iso_cts": "common", "star": "eta", "opcm": "alpha"}


@pytest.mark.parametrize("name", RESULTS)
def test_the_merge_is_the_authors(name: str) -> None:
    shape, n, operator, *value = name.split(".", 3)
    parents = [AUTHORS[f"{shape}.{n}.parent{i}"] for i in range(int(n))]
    base = AUTHORS[f"{shape}.{n}.base"]
    given: dict[str, Parameter] = {VALUE[operator]: float(value[0])} if value else {}
    per_parent = given if operator == "star" else {}
    rule = rule_of(operator, *[dict(per_parent) for _ in parents], **({} if per_parent else given))
    # Elements are of size 1. The authors' float32 is up to 4e-5 from a float64 calculation, ours up to 2e-6.
    torch.testing.assert_close(merge(rule, parents, base) - base, AUTHORS[name], rtol=0, atol=5e-5)


def test_every_released_method_is_compared() -> None:
    assert {name.split(".")[2] for name in RESULTS} == {"iso_c", "iso_cts", "tsv_m", "star", "opcm"}
