"""What a campaign began with, and where its parents lie now."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from evomerge.campaign import RunDirectoryError
from evomerge.campaign.inputs import Inputs
from evomerge.campaign.places import moved_sources, places_of
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import ParentSource
from tests.conftest import Family
from tests.search_spaces.parents.adapters import save_adapter

# Of peft, which asks transformers for what is about to go.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("UserWarning", "FutureWarning")]

COMMIT, OTHER = "0" * 40, "f" * 40


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, family: Family) -> Path:
    return save_adapter(family.base, tmp_path_factory.mktemp("adapter"))


def inputs_of(**sources: ParentSource) -> Inputs:
    return Inputs.of(Parents.open(sources))


@pytest.mark.parametrize("alone", [False, True])
def test_a_changed_adapter_is_told_apart_from_the_model_under_it(
    family: Family, adapter: Path, tmp_path: Path, alone: bool
) -> None:
    copy = shutil.copytree(adapter, tmp_path / "copy")
    source = ParentSource(str(copy)) if alone else ParentSource(str(family.base), adapter=str(copy))
    then = inputs_of(tuned=source)
    tensors = load_file(copy / "adapter_model.safetensors")
    save_file({name: torch.zeros_like(tensor) for name, tensor in tensors.items()}, copy / "adapter_model.safetensors")
    assert then.changes(inputs_of(tuned=source)) == ["parent 'tuned': adapter_model.safetensors changed"]


def test_files_are_compared_wherever_they_lie(family: Family, tmp_path: Path) -> None:
    copy = shutil.copytree(family.base, tmp_path / "copy")
    then = inputs_of(base=ParentSource(str(family.base)))
    assert then.changes(inputs_of(base=ParentSource(str(copy)))) == []
    (copy / "tokenizer.json").unlink()
    (copy / "tokenizer_config.json").unlink()
    [said] = then.changes(inputs_of(base=ParentSource(str(copy))))
    assert said == "parent 'base': tokenizer.json removed, tokenizer_config.json removed"


def test_a_parent_of_the_hub_is_read_at_the_commit_that_the_search_began_with(family: Family, tmp_path: Path) -> None:
    snapshot = Path(shutil.copytree(family.base, tmp_path / "models--a--b" / "snapshots" / COMMIT))
    opened = Parents.open({"p": ParentSource("a/b")}, places={"p": ParentSource(str(snapshot))})
    noted = Inputs.of(opened)
    assert noted.commits == {"p": (COMMIT, None)}
    for revision in (None, "main"):
        sources = {"p": ParentSource("a/b", revision)}
        assert places_of(sources, noted, {}, tmp_path) == {"p": ParentSource("a/b", COMMIT)}
    tuned = {"p": ParentSource("a/b", adapter="a/c")}
    both = Inputs(commits={"p": (COMMIT, OTHER)})
    assert places_of(tuned, both, {}, tmp_path) == {"p": ParentSource("a/b", COMMIT, "a/c", OTHER)}
    local = {"p": ParentSource(str(snapshot))}
    assert places_of(local, noted, {}, tmp_path) == {}


def test_what_lay_in_a_run_directory_moves_with_it(family: Family, tmp_path: Path) -> None:
    shutil.copytree(family.base, tmp_path / "new" / "parents" / "joined")
    old = {"joined": ParentSource(str(tmp_path / "old" / "parents" / "joined"))}
    between = {"joined": ParentSource(str(tmp_path / "between" / "parents" / "joined"))}
    for places in ({}, between):  # it may have moved before
        found = places_of(old, Inputs(root=str(tmp_path / "old"), places=places), {}, tmp_path / "new")
        assert found == {"joined": ParentSource(str(tmp_path / "new" / "parents" / "joined"))}
    with pytest.raises(RunDirectoryError, match="--parent joined=DIR"):
        places_of(old, Inputs(root=str(tmp_path / "other")), {}, tmp_path / "new")


def test_a_parent_is_read_where_it_was_last_until_it_is_back(family: Family, tmp_path: Path) -> None:
    gone, here = ParentSource(str(tmp_path / "gone")), ParentSource(str(family.base))
    noted = Inputs(places={"p": here})
    assert places_of({"p": gone}, noted, {}, tmp_path) == {"p": here}
    (tmp_path / "gone").mkdir()
    assert places_of({"p": gone}, noted, {}, tmp_path) == {}


def test_of_a_model_with_an_adapter_either_or_both_may_have_moved(
    family: Family, adapter: Path, tmp_path: Path
) -> None:
    gone = ParentSource("/gone/model", None, "/gone/adapter")
    base, tuned = str(family.base), str(adapter)
    for text, expected in (
        (base, ParentSource(base, None, "/gone/adapter")),
        (tuned, ParentSource("/gone/model", None, tuned)),
        (f"{base}+{tuned}", ParentSource(base, None, tuned)),
    ):
        assert moved_sources({"p": text}, {"p": gone}) == {"p": expected}
    plus = Path(shutil.copytree(family.base, tmp_path / "a+b"))
    assert moved_sources({"p": str(plus)}, {"p": ParentSource("/gone")}) == {"p": ParentSource(str(plus))}
