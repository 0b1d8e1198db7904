"""What lies beside the weights and says how a model is used is compared; what cannot be used is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from search_spaces.checks.preflight import Preflight, preflight
from search_spaces.errors import SpaceError
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import ParentSource
from tests.conftest import Family

TYPES = "sentence_transformers.models."


@pytest.fixture
def pair(family: Family, tmp_path: Path) -> tuple[Path, Path]:
    one, two = (Path(shutil.copytree(family.base, tmp_path / name)) for name in ("one", "two"))
    return one, two


def found(pair: tuple[Path, Path]) -> Preflight:
    sources = {path.name: ParentSource(str(path)) for path in pair}
    return preflight(Parents.open(sources, base="one"), "one", read_weights=False)


def pool(directory: Path, *, cls: bool, folder: str = "") -> None:
    listed = [{"path": folder, "type": f"{TYPES}Transformer"}, {"path": "1_Pooling", "type": f"{TYPES}Pooling"}]
    (directory / "modules.json").write_text(json.dumps(listed))
    (directory / "1_Pooling").mkdir()
    (directory / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": cls}))


def test_embeddings_that_are_pooled_in_another_way_are_a_warning(pair: tuple[Path, Path]) -> None:
    for path, cls in zip(pair, (True, False), strict=True):
        pool(path, cls=cls)
    [row] = [row for row in found(pair).warnings if "1_Pooling" in row.property]
    assert row.property == "1_Pooling/config.json: pooling_mode_cls_token"
    assert row.note == "expected true as in 'one', found false in 'two'; the merge takes the base's"


def test_images_that_are_prepared_in_another_way_are_a_warning(pair: tuple[Path, Path]) -> None:
    for path, mean in zip(pair, (0.5, 0.48), strict=True):
        said = {"image_mean": [mean] * 3, "do_resize": True, "processor_class": path.name}
        (path / "preprocessor_config.json").write_text(json.dumps(said))
    assert [row.property for row in found(pair).warnings] == ["preprocessor_config.json: image_mean"]


def test_what_only_one_parent_has_beside_its_weights_is_no_difference(pair: tuple[Path, Path]) -> None:
    pool(pair[1], cls=True)
    assert found(pair).warnings == []


def test_an_adapter_beside_a_whole_model_is_said_not_to_be_used(pair: tuple[Path, Path]) -> None:
    (pair[1] / "adapter_config.json").write_text("{}")
    [row] = found(pair).warnings
    assert f"'two' has an adapter beside its weights that is not used; {pair[1]}+{pair[1]} puts it on them" == row.note


def test_a_transformer_in_a_folder_of_its_own_is_named(pair: tuple[Path, Path]) -> None:
    shutil.copytree(pair[0], pair[1] / "0_Transformer")
    for file in pair[1].glob("*.*"):
        file.unlink()
    pool(pair[1], cls=True, folder="0_Transformer")
    with pytest.raises(SpaceError, match=r"whose transformer is in 0_Transformer; name .*/two/0_Transformer"):
        Checkpoint.open(ParentSource(str(pair[1])))


@pytest.mark.parametrize("text", ["[" * 60_000 + "]" * 60_000, "[1, 2]", "", '{"a": ' + "9" * 6000 + "}"])
def test_settings_that_no_one_can_read_differ_from_nothing(pair: tuple[Path, Path], text: str) -> None:
    (pair[1] / "preprocessor_config.json").write_text(text)
    assert found(pair).warnings == []


def test_modules_that_are_nested_without_end_are_refused_with_their_file(pair: tuple[Path, Path]) -> None:
    (pair[1] / "modules.json").write_text("[" * 60_000 + "]" * 60_000)
    with pytest.raises(SpaceError, match=r"two/modules\.json: expected JSON, found what cannot be read"):
        found(pair)
