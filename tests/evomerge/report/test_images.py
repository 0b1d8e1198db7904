from pathlib import Path

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.report.contents import read_contents
from evomerge.report.images import save_images
from tests.evomerge.archives import CAMPAIGN, landmarks, make_archive, scored, verification

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_the_main_figures_are_saved_as_png(tmp_path: Path, objectives: int) -> None:
    archive = make_archive(tmp_path / "a.sqlite", objectives=objectives, proposals=6)
    archive.note("verification", verification(objectives=objectives, contender=None, winner=9).to_json())
    saved = save_images(archive, read_contents(archive), tmp_path / "figures")
    assert [path.name for path in saved] == ["pareto.png", "best_so_far.png", "genes.png", "held_out.png"]
    assert all(path.read_bytes().startswith(PNG) for path in saved)
    assert sorted(p.name for p in (tmp_path / "figures").iterdir()) == sorted(p.name for p in saved)


def test_only_what_there_is_to_show_is_drawn(tmp_path: Path) -> None:
    empty = Archive.create(tmp_path / "a.sqlite", CAMPAIGN)
    assert save_images(empty, read_contents(empty), tmp_path / "figures") == []


def test_names_in_any_script_and_with_dollar_signs_are_drawn(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "a.sqlite", CAMPAIGN)
    named = [type(c)(c.number, c.recipe, name) for c, name in zip(landmarks(), ("数学", "$x_{"), strict=False)]
    archive.asked(named, None)
    archive.told([scored(np.random.default_rng(0), c, [0.5, 0.6]) for c in named])
    assert len(save_images(archive, read_contents(archive), tmp_path / "figures")) == 3
