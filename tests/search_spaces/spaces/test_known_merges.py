"""Merges that are known before a search, found again in spaces: judged by the weights that they make."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from search_spaces.layers.sources import output_names
from search_spaces.merging.materialise import merged_tensor
from search_spaces.parents.parents import Parents
from search_spaces.recipes.groups import Groups
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.spaces.flow import Flow
from search_spaces.spaces.joint import JointSpace
from search_spaces.spaces.known_merges import genome_of, merged_by
from search_spaces.spaces.space import Landmark
from search_spaces.spaces.weight_space import WeightSpace
from tests.conftest import Family, make_family


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return make_family(tmp_path_factory.mktemp("three"), ("a", "b", "c"))


def sources(family: Family) -> dict[str, ParentSource]:
    return {name: ParentSource(str(path)) for name, path in family.parents.items()}


def weight_space(family: Family, operator: str, genes: dict[str, Any], **options: Any) -> WeightSpace:
    settings = {"groups": Groups(2), "dtype": "float32", **options}
    return WeightSpace(sources(family), "base", n_layers=2, operators=[operator], genes=genes, **settings)


def known(space: WeightSpace | JointSpace, parents: list[str]) -> list[Landmark]:
    """Return a space's landmarks, and task arithmetic at two scales."""
    own = space.landmarks()
    mean = next(landmark.recipe for landmark in own if landmark.name == "uniform mean")
    further = [
        Landmark(f"task arithmetic {w}", merged_by(mean, "task_arithmetic", parents, weight=w)) for w in (0.3, 1.0)
    ]
    return [*own, *further]


def weights_of(recipe: Recipe) -> dict[str, torch.Tensor]:
    parents = Parents.of(recipe)
    return {name: merged_tensor(recipe, parents, name) for name in output_names(recipe, parents)}


def found_in(space: WeightSpace | JointSpace, parents: list[str]) -> list[str]:
    """Return the landmarks that a space has, after checking that its genomes make their weights."""
    names = []
    for landmark in known(space, parents):
        genome = genome_of(space, landmark.recipe)
        if genome is None:
            continue
        names.append(landmark.name)
        expected = weights_of(landmark.recipe)
        for name, tensor in weights_of(space.decode(genome)).items():
            off = (tensor - expected[name]).abs() > 3e-4
            # A density of 0.2 is 51/256 in a space: some elements fall on the other side of the threshold.
            assert off.float().mean() <= (0.02 if landmark.name == "default TIES" else 0.0), f"{landmark.name}: {name}"
    return names


PARENTS = ["base", "a", "b", "c"]
ARITHMETIC = ["task arithmetic 0.3", "task arithmetic 1.0"]


@pytest.mark.parametrize(
    ("operator", "genes", "expected"),
    [
        ("task_arithmetic", {"weight": (0.0, 1.5)}, [*PARENTS, "uniform mean", *ARITHMETIC]),
        ("task_arithmetic", {"weight": (0.0, 0.9)}, ["base", "uniform mean", "task arithmetic 0.3"]),
        ("task_arithmetic", {"weight": 1.0, "lambda": (0.1, 1.5)}, ["uniform mean", *ARITHMETIC]),
        ("task_arithmetic", {"weight": (0.0, 1.5), "lambda": 0.5}, []),
        ("linear", {"weight": (0.0, 1.0)}, ["a", "b", "c", "uniform mean"]),
        ("ties", {"weight": (0.0, 1.5), "density": (0.1, 1.0), "normalize": True}, ["default TIES"]),
        ("ties", {"weight": (0.0, 1.5), "density": (0.5, 1.0)}, []),
    ],
)
def test_a_genome_of_a_landmark_makes_its_weights(
    three: Family, operator: str, genes: dict[str, Any], expected: list[str]
) -> None:
    assert found_in(weight_space(three, operator, genes), ["a", "b", "c"]) == expected


def test_a_landmark_of_some_parents_is_found_where_the_others_can_have_no_part(three: Family) -> None:
    space = weight_space(three, "task_arithmetic", {"weight": (0.0, 1.5)})
    assert found_in(space, ["a", "c"]) == [*PARENTS, "uniform mean", *ARITHMETIC]


def test_nothing_is_found_where_a_part_of_the_model_stays_the_base(three: Family) -> None:
    space = weight_space(three, "task_arithmetic", {"weight": (0.0, 1.5)}, groups=Groups(1, ("attention",)))
    assert found_in(space, ["a", "b", "c"]) == []


def test_a_joint_space_has_merges_in_the_parents_own_order_of_layers(three: Family) -> None:
    weights = weight_space(three, "task_arithmetic", {"weight": (0.0, 1.5)})
    space = JointSpace(weights, n_layers=2, flow=Flow(), sources=["merged", "a"])
    assert found_in(space, ["a", "b", "c"])[-3:] == ["uniform mean", *ARITHMETIC]


def test_an_operator_takes_the_place_of_the_mean_and_keeps_what_holds_for_the_model(three: Family) -> None:
    space = weight_space(three, "linear", {"weight": (0.0, 1.0)})
    mean = next(landmark.recipe for landmark in space.landmarks() if landmark.name == "uniform mean")
    made = merged_by(mean, "sce", ["b", "a"])
    assert [(rule.operator, [given.parent for given in rule.inputs]) for rule in made.rules] == [("sce", ["b", "a"])]
    assert (made.dtype, made.base, made.seed, made.tokenizer) == (mean.dtype, mean.base, mean.seed, mean.tokenizer)
