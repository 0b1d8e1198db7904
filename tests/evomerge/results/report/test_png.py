import sys
from pathlib import Path

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.results.pages.frozen import report
from evomerge.results.report.contents import read_contents
from evomerge.results.report.figures import front_figures
from evomerge.results.report.png import save_png
from evomerge.results.report.report_files import where
from tests.evomerge.archives import CAMPAIGN, landmarks, make_archive, scored, verification


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_every_figure_that_has_something_to_show_is_saved(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a.sqlite", proposals=6)
    archive.note("verification", verification(contender=None, winner=9).to_json())
    report(archive, tmp_path / "r.html", png_dir=tmp_path / "figures")
    assert names_in(tmp_path / "figures") == ["best_so_far.png", "genes.png", "held_out.png", "pareto.png"]


def test_where_nothing_is_scored_nothing_is_drawn(tmp_path: Path) -> None:
    report(Archive.create(tmp_path / "a.sqlite", CAMPAIGN), tmp_path / "r.html", png_dir=tmp_path / "figures")
    assert names_in(tmp_path / "figures") == []


def test_a_png_has_twice_the_pixels_of_the_page(tmp_path: Path) -> None:
    from matplotlib.image import imread

    archive = make_archive(tmp_path / "a.sqlite", proposals=6)
    picture = imread(save_png(front_figures(read_contents(archive)), tmp_path / "front.png"))
    assert picture.shape[:2] == (2 * 600, 2 * 720)
    assert (picture[..., 3] == 1).all()


def test_without_matplotlib_the_page_is_written_and_one_line_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    archive = make_archive(tmp_path / "a.sqlite", proposals=2)
    page = report(archive, tmp_path / "r.html", png_dir=tmp_path / "figures")
    assert names_in(tmp_path) == ["a.sqlite", "a.sqlite-shm", "a.sqlite-wal", "r.html"]
    assert where(page) == f"report: {page}\nno PNGs: they need matplotlib, `pip install 'evomerge[png]'`"


def test_names_in_any_script_and_with_dollar_signs_are_drawn(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "a.sqlite", CAMPAIGN)
    named = [type(c)(c.number, c.recipe, name) for c, name in zip(landmarks(), ("数学", "$x_{"), strict=False)]
    archive.asked(named, None)
    archive.told([scored(np.random.default_rng(0), c, [0.5, 0.6]) for c in named])
    report(archive, tmp_path / "r.html", png_dir=tmp_path / "figures")
    assert names_in(tmp_path / "figures") == ["best_so_far.png", "genes.png", "pareto.png"]
