"""The benchmark of a single merge runs on any parents of the names that it merges."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.benchmarks.materialise import PARENTS
from experiments.benchmarks.single_merge import CASES, measured, recipe_of
from search_spaces.operators.registry import check_rule
from search_spaces.parents.parents import Parents
from tests.conftest import make_family
from tests.search_spaces.merging.recipes import opened


@pytest.fixture(scope="module")
def parents(tmp_path_factory: pytest.TempPathFactory) -> Parents:
    family = make_family(tmp_path_factory.mktemp("models"), PARENTS[1:])
    return opened(family.parents)


@pytest.mark.parametrize("case", CASES)
def test_every_case_is_a_merge_of_all_experts(case: str, parents: Parents) -> None:
    recipe = recipe_of(case, parents)
    assert [i.parent for i in check_rule(recipe.rules[0]).inputs] == list(PARENTS[1:])
    assert recipe.dtype == "float32"  # as the parents are stored


def test_a_row_has_the_seconds_of_the_merge_and_of_the_files_and_leaves_nothing(
    parents: Parents, tmp_path: Path
) -> None:
    row = measured("ties", parents, tmp_path, repeats=2, command=False)
    assert row.operator == "ties"
    assert row.ratio == pytest.approx(row.seconds / row.floor_seconds)
    assert row.seconds > 0.0
    assert row.command_seconds is None
    assert list(tmp_path.iterdir()) == []
