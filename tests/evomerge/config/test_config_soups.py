"""Soups in a campaign file: weights that sum to 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from evomerge.config import ConfigError, load_campaign
from evomerge.spaces import Weights


def space_of(tmp_path: Path, **section: Any) -> Weights:
    document = {"parents": ["a", "b", "c"], "objectives": [{"name": "o", "tasks": ["gsm8k"]}], "space": section}
    path = tmp_path / "campaign.yaml"
    path.write_text(yaml.safe_dump(document))
    space = load_campaign(path, files_must_exist=False).space
    assert isinstance(space, Weights)
    return space


def test_weights_of_a_soup_bring_their_own_bounds(tmp_path: Path) -> None:
    for weights, reach in [("simplex", 4.0), ("affine", 1.0)]:
        space = space_of(tmp_path, operator="linear", weights=weights)
        assert (space.weights, space.genes["weight"]) == (weights, (-reach, reach))
    assert space_of(tmp_path, operator="linear", weights="affine", genes={"weight": [-0.2, 0.2]}).genes["weight"] == (
        -0.2,
        0.2,
    )


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"operator": "linear", "weights": "convex"}, ["space.weights", "expected one of free, simplex, affine"]),
        ({"operator": "slerp", "weights": "simplex"}, ["an operator that weights its parents", "slerp"]),
        (
            {"operator": "linear", "weights": "affine", "genes": {"weight": [0, 1]}},
            ["space.genes.weight", "[-reach, reach] with weights affine"],
        ),
    ],
)
def test_what_cannot_be_a_soup_is_refused_with_its_key(
    tmp_path: Path, section: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        space_of(tmp_path, **section)
    assert all(word in str(caught.value) for word in words), str(caught.value)
