"""The benchmark of many small tensors has a large model's names, and what it merges is the same as one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import evomerge as em
from experiments.benchmarks.many_tensors import many_row, many_table, parents_of_many, shapes_of
from experiments.benchmarks.materialise import PARENTS, genomes
from search_spaces import Parents, ResidentModel, build_module, merged_tensor


@pytest.fixture(scope="module")
def parents() -> Iterator[Parents]:
    with parents_of_many(PARENTS, n_layers=2, n_experts=4) as opened:
        yield opened


def test_the_names_are_those_of_a_model_of_128_experts_in_48_layers() -> None:
    assert sum(1 for _ in shapes_of(48, 128)) == 18_867


@pytest.mark.parametrize("operator", ["linear", "ties", "della"])
def test_experts_are_merged_as_if_one_by_one_in_a_live_model_and_on_disk(
    operator: str, parents: Parents, tmp_path: Path
) -> None:
    model = ResidentModel(build_module(parents["base"]), parents)
    recipes = genomes(operator, parents, 1)
    for recipe in recipes:
        model.become(recipe)
        written = Parents.open({"merged": em.ParentSource(str(em.merge(recipe, tmp_path / recipe.digest).directory))})
        targets = model.targets(recipe)
        assert set(targets) == set(parents["base"].names)
        for name, weight in targets.items():
            expected = merged_tensor(recipe, parents, name)
            assert weight.equal(expected.float()), name
            assert written["merged"].tensor(name).equal(expected), name


def test_a_row_has_seconds_of_writing_and_of_candidates(parents: Parents) -> None:
    row = many_row("linear", parents, genomes("linear", parents, 2))
    assert row.n_tensors == 2 * (4 * 3 + 9) + 3
    assert min(row.export_s, row.first_s, row.later_s) > 0.0
    assert "linear" in many_table([row])
