"""Figures are described once: notebook and PNG draw the same numbers, in known colours."""

import json
import re
from pathlib import Path

import pytest

from evomerge.results.predicted_front import read_prediction
from evomerge.results.report.contents import read_contents
from evomerge.results.report.marks import DARK, LIGHT
from evomerge.results.report.report_files import all_figures
from tests.evomerge.archives import make_archive, verification
from tests.evomerge.results.report.back_ends import assert_drawn_alike


@pytest.mark.parametrize("proposals", [0, 1, 12])
@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_notebook_and_png_draw_the_same_numbers_in_known_colours(
    tmp_path: Path, objectives: int, proposals: int
) -> None:
    archive = make_archive(tmp_path / "a.sqlite", objectives=objectives, proposals=proposals)
    found = verification(objectives=objectives, contender=None, winner=2 + proposals // 2)
    archive.note("verification", found.to_json())
    figures = all_figures(archive, read_contents(archive), read_prediction(archive))
    shown = {name: some for name, some in figures.items() if some}
    assert list(shown) == ["pareto", "best_so_far", "genes", "held_out"]
    for some in shown.values():
        assert_drawn_alike(some)
    names = set(re.findall(r"var\(--(\w+)\)", json.dumps(shown))) - {"sans"}
    assert names <= set(LIGHT) == set(DARK)
