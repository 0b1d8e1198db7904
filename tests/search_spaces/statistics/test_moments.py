from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from search_spaces.errors import SpaceError
from search_spaces.statistics.moments import read_moments

MOMENTS = {"model.norm.weight": torch.rand(3), "model.layers.0.attn.v.weight": torch.rand(2, 3)}


@pytest.mark.parametrize("name", ["{}", "{}.exp_avg_sq", "exp_avg_sq.{}", "state.{}.exp_avg_sq"])
def test_moments_have_the_weights_names(tmp_path: Path, name: str) -> None:
    tensors = {name.format(weight): moment for weight, moment in MOMENTS.items()}
    if name != "{}":
        tensors |= {f"{weight}.exp_avg": -moment for weight, moment in MOMENTS.items()}
    save_file(tensors, tmp_path / "m.safetensors")
    found = dict(read_moments(tmp_path / "m.safetensors"))
    assert found.keys() == MOMENTS.keys()
    assert all(found[weight].equal(MOMENTS[weight]) for weight in MOMENTS)


def test_adafactors_factors_are_multiplied_as_its_step_does(tmp_path: Path) -> None:
    squares = torch.rand(4, 1) * torch.rand(1, 5)  # of rank one: the factors tell everything
    factors = {"w.exp_avg_sq_row": squares.mean(-1), "w.exp_avg_sq_col": squares.mean(-2)}
    save_file(factors, tmp_path / "m.safetensors")
    assert torch.allclose(dict(read_moments(tmp_path / "m.safetensors"))["w"], squares)


def test_what_is_not_moments_is_said(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="expected a safetensors file"):
        dict(read_moments(tmp_path / "optimizer.pt"))
    save_file({"w": -torch.ones(2)}, tmp_path / "negative.safetensors")
    with pytest.raises(SpaceError, match="found others in w"):
        dict(read_moments(tmp_path / "negative.safetensors"))
    save_file({"w.exp_avg_sq_row": torch.ones(2)}, tmp_path / "half.safetensors")
    with pytest.raises(SpaceError, match=r"of w, found \['row'\]"):
        dict(read_moments(tmp_path / "half.safetensors"))
