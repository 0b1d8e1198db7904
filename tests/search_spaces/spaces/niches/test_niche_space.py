"""The space of niches keeps the contract of search spaces, and its recipes make what individuals say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import strategies as st
from torch import Tensor

from evomerge.testing.search_space_contract import SearchSpaceContract
from search_spaces.errors import SpaceError
from search_spaces.layers.architecture import build_module
from search_spaces.layers.sources import output_names
from search_spaces.live import resident as resident_module
from search_spaces.live.resident import ResidentModel
from search_spaces.mergekit.reading import read_mergekit
from search_spaces.mergekit.writing import to_mergekit
from search_spaces.merging.materialise import carry_out_all, merged_tensor
from search_spaces.merging.piecewise import flat_layout
from search_spaces.output.export_adapter import export_adapter
from search_spaces.parents.parents import Parents
from search_spaces.recipes.pieces import Pieces
from search_spaces.recipes.recipe import Recipe
from search_spaces.spaces.niches.individual import Individual
from search_spaces.spaces.niches.niche_space import NicheSpace
from search_spaces.spaces.niches.rank_scaled import RankScaled
from tests.conftest import Family, make_family
from tests.search_spaces.merging.recipes import copy_of, opened, recipe
from tests.search_spaces.spaces.niches.test_individual import individuals


@pytest.fixture(scope="session")
def parents(family: Family) -> Parents:
    return opened(family.parents)


def niches(parents: Parents, **options: Any) -> NicheSpace:
    return NicheSpace(parents, "base", **{"merge_base": False, "dtype": "float32", **options})


class TestNicheSpace(SearchSpaceContract):
    @pytest.fixture
    def space(self, parents: Parents) -> NicheSpace:
        return niches(parents)

    def genomes(self, space: Any) -> st.SearchStrategy[Any]:
        return individuals(size=space.grams.layout.size, n_parents=2)


def rank_scaled() -> st.SearchStrategy[RankScaled]:
    """Two parents' weights, and mutations along either."""
    weights = st.tuples(*[st.floats(-2, 2, allow_subnormal=False)] * 2)
    numbers = st.tuples(st.integers(0, 1), st.integers(1, 99))
    mutations = st.dictionaries(numbers, st.floats(0.01, 0.2), max_size=3)
    return st.builds(lambda w, m: RankScaled(w, tuple(sorted(m.items()))), weights, mutations)


class TestNicheSpaceOfMutants(TestNicheSpace):
    def genomes(self, space: Any) -> st.SearchStrategy[Any]:
        return rank_scaled()


def at(parents: Parents, *cuts: int, rows: list[list[float]] | None = None, dtype: str = "float32") -> Recipe:
    """Cut the parameters, with coefficients of alpha and beta that differ everywhere unless they are given."""
    size = flat_layout(parents, "base").size
    rows = rows or [[0.5 + 0.1 * i, 0.25 - 0.1 * i] for i in range(len(cuts) + 1)]
    pieces = Pieces(("alpha", "beta"), (0, *cuts, size), tuple(map(tuple, rows)))
    return recipe(parents, dtype=dtype, pieces=pieces)


def expected(r: Recipe, parents: Parents) -> Mapping[str, Tensor]:
    """Combine flattened float64 copies of the parents, an independent way."""
    layout = flat_layout(parents, "base")
    flat = [torch.cat([parents[p].tensor(n).double().flatten() for n in layout.names]) for p in r.pieces.parents]
    lengths = torch.tensor(r.pieces.boundaries).diff()
    shares = torch.tensor(r.pieces.coefficients, dtype=torch.float64).repeat_interleave(lengths, dim=0)
    parts = (shares * torch.stack(flat, dim=1)).sum(dim=1).split(layout.sizes)
    return {n: part.view(parents["base"].shape(n)) for n, part in zip(layout.names, parts, strict=True)}


def test_every_tensor_is_the_combination_of_its_segments(parents: Parents) -> None:
    r = at(parents, 100, 1600, 1601, 5000, 9999)
    for name, tensor in expected(r, parents).items():
        assert merged_tensor(r, parents, name).double() == pytest.approx(tensor, abs=1e-6)


def test_a_segment_that_is_one_parent_has_its_very_bits(parents: Parents) -> None:
    r = at(parents, 3000, rows=[[1.0, 0.0], [0.0, 1.0]])
    layout = flat_layout(parents, "base")
    flat = torch.cat([merged_tensor(r, parents, name).flatten() for name in layout.names])
    alpha, beta = (torch.cat([parents[p].tensor(n).flatten() for n in layout.names]) for p in ("alpha", "beta"))
    assert flat[:3000].equal(alpha[:3000])
    assert flat[3000:].equal(beta[3000:])


def test_values_are_rounded_once(parents: Parents) -> None:
    single, half = at(parents, 100, 7000), at(parents, 100, 7000, dtype="bfloat16")
    for name in output_names(single, parents):
        assert merged_tensor(half, parents, name).equal(merged_tensor(single, parents, name).to(torch.bfloat16))


def test_the_live_model_writes_again_only_tensors_whose_pieces_changed(
    parents: Parents, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = flat_layout(parents, "base")
    live, written = ResidentModel(build_module(parents["base"]), parents), []

    def counting(plans: Any, *arguments: Any, **options: Any) -> list[Tensor]:
        written.extend(plan.name for plan in plans)
        return carry_out_all(plans, *arguments, **options)

    monkeypatch.setattr(resident_module, "carry_out_all", counting)
    first, last = int(layout.starts[3]) + 2, int(layout.starts[5])
    live.become(at(parents, first, last, rows=[[1, 0], [0.5, 0.5], [0, 1]]))
    assert sorted(written) == sorted(layout.names)
    written.clear()
    changed = at(parents, first + 1, last, rows=[[1, 0], [0.5, 0.5], [0, 1]])
    live.become(changed)
    assert written == [layout.names[3]]
    state = live.model.state_dict()
    assert all(state[name].equal(merged_tensor(changed, parents, name)) for name in layout.names)


def test_tied_weights_stay_tied_and_are_counted_once(parents: Parents) -> None:
    assert "lm_head.weight" not in flat_layout(parents, "base").names
    live = ResidentModel(build_module(parents["base"]), parents)
    live.become(at(parents, 40))
    assert live.model.lm_head.weight is live.model.model.embed_tokens.weight


def test_heads_of_their_own_come_last(tmp_path: Path) -> None:
    layout = flat_layout(opened(make_family(tmp_path, tied=False).parents), "base")
    assert layout.names[0] == "model.embed_tokens.weight"
    assert layout.names[-2:] == ("model.norm.weight", "lm_head.weight")


def test_crossover_in_the_space_takes_the_angles_of_the_stored_weights(parents: Parents) -> None:
    crossover = niches(parents).crossover("param", "global")
    layout = flat_layout(parents, "base")
    flat = [torch.cat([parents[p].tensor(n).double().flatten() for n in layout.names]) for p in ("alpha", "beta")]
    gram = crossover.grams.between(np.array([0, layout.size]))[0]
    assert gram == pytest.approx(np.array([[float(x @ y) for y in flat] for x in flat]), rel=1e-12)


def test_parents_of_other_shapes_are_refused(parents: Parents, tmp_path: Path, family: Family) -> None:
    other = make_family(tmp_path, hidden=48).experts["alpha"]
    with pytest.raises(
        SpaceError, match=r"parent 'wide': expected model.embed_tokens.weight of shape \(49, 32\), found"
    ):
        niches(opened({**family.parents, "wide": other}))


def test_without_a_base_the_first_parent_is_merged_as_well(parents: Parents) -> None:
    space = niches(parents, merge_base=True)
    assert [landmark.name for landmark in space.landmarks()] == ["base", "alpha", "beta", "uniform mean"]
    seeds = [space.decode(seed) for seed in space.crossover("param", "global").seeds]
    assert [recipe.pieces.coefficients for recipe in seeds if recipe.pieces] == [
        ((1.0, 0.0, 0.0),),
        ((0.0, 1.0, 0.0),),
        ((0.0, 0.0, 1.0),),
    ]


def test_a_recipe_file_with_damaged_pieces_is_refused(parents: Parents) -> None:
    data = at(parents, 5).to_dict()
    for damage in ({"coefficients": [["x", 1.0]]}, {"boundaries": "many"}, {"parents": None}):
        with pytest.raises(SpaceError):
            Recipe.from_dict({**data, "pieces": {**data["pieces"], **damage}})
    del data["pieces"]["parents"]
    with pytest.raises(SpaceError, match="recipe: expected the key 'parents'"):
        Recipe.from_dict(data)


def test_a_single_model_to_merge_is_refused(family: Family) -> None:
    with pytest.raises(SpaceError, match=r"parents: expected at least two models to merge, found \['alpha'\]"):
        niches(opened({"base": family.base, "alpha": family.experts["alpha"]}))


def test_an_individual_of_another_size_is_refused(parents: Parents) -> None:
    with pytest.raises(SpaceError, match="genome: expected an individual of 2 parents and"):
        niches(parents).decode(Individual.of_parent(0, n_parents=2, size=5))


def test_a_recipe_of_rules_is_no_individual(parents: Parents) -> None:
    with pytest.raises(SpaceError, match="pieces: expected some of the parents"):
        niches(parents).encode(recipe(parents, copy_of("alpha")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boundaries": (0, 5, 5)}, "pieces.boundaries: expected numbers that ascend from 0"),
        ({"boundaries": (0, 2.5, 9)}, "pieces.boundaries: expected whole numbers"),
        ({"coefficients": ((1.0, 0.0),)}, "pieces.coefficients: expected one row per segment, 2"),
        ({"coefficients": ((1.0, 0.0), (1.0,))}, r"pieces.coefficients\[1\]: expected 2 finite numbers"),
        ({"coefficients": ((1.0, 0.0), (1.0, float("nan")))}, r"pieces.coefficients\[1\]: expected 2 finite numbers"),
        ({"parents": ()}, "pieces.parents: expected at least one"),
    ],
)
def test_wrong_pieces_are_named(change: dict[str, Any], message: str) -> None:
    right = {"parents": ("a", "b"), "boundaries": (0, 5, 9), "coefficients": ((1.0, 0.0), (0.0, 1.0))}
    with pytest.raises(SpaceError, match=message):
        Pieces(**{**right, **change})


def test_a_recipe_has_rules_or_pieces(parents: Parents) -> None:
    pieces = Pieces(("alpha",), (0, 5), ((1.0,),))
    with pytest.raises(SpaceError, match="pieces: expected neither rules nor layers beside them"):
        recipe(parents, copy_of("alpha"), pieces=pieces)
    with pytest.raises(SpaceError, match="rules: expected at least one rule"):
        recipe(parents)
    with pytest.raises(SpaceError, match=r"parents: expected one of .* found 'gamma'"):
        recipe(parents, pieces=Pieces(("gamma",), (0, 5), ((1.0,),)))
    with pytest.raises(SpaceError, match=r"pieces\.boundaries: expected the last to be"):
        merged_tensor(recipe(parents, pieces=pieces), parents, "model.norm.weight")


def test_boundaries_between_tensors_can_be_said_in_mergekits_language(parents: Parents, tmp_path: Path) -> None:
    layout = flat_layout(parents, "base")
    cuts = [int(layout.starts[layout.names.index("model.layers.1.mlp.up_proj.weight")])]
    for chosen in ([], cuts, [int(point) for point in layout.split_points("layer")[1:]]):
        r = at(parents, *chosen)
        (tmp_path / "merge.yml").write_text(to_mergekit(r))
        again = read_mergekit(tmp_path / "merge.yml")
        reopened = Parents.of(again)
        for name in layout.names:
            assert merged_tensor(again, reopened, name).equal(merged_tensor(r, parents, name))


def test_boundaries_inside_tensors_cannot(parents: Parents) -> None:
    with pytest.raises(SpaceError, match="pieces: mergekit cuts no tensor, found boundaries inside 1 of them"):
        to_mergekit(at(parents, 5))


def test_mergekits_file_is_yaml_of_slices(parents: Parents) -> None:
    cut = flat_layout(parents, "base").split_points("layer")[2]
    data = yaml.safe_load(to_mergekit(at(parents, cut)))
    assert data["merge_method"] == "linear"
    assert len(data["slices"]) == 2


def test_pieces_are_no_adapter(parents: Parents, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="--as-adapter: expected a recipe of rules, found pieces"):
        export_adapter(at(parents, 5), parents, tmp_path / "out")
