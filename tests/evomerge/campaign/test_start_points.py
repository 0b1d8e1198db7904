from pathlib import Path

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.campaign.start_points import is_start_point, references
from evomerge.candidate import Candidate
from evomerge.results.report.contents import read_contents
from evomerge.results.report.details import candidate_marks
from evomerge.results.report.figures import front_figures
from tests.evomerge.archives import CAMPAIGN, failure, landmarks, merged, scored


@pytest.fixture
def started(tmp_path: Path) -> Archive:
    """Return an archive of five landmarks and six start points: the third of them failed, the fourth is the best."""
    rng = np.random.default_rng(0)
    archive = Archive.create(tmp_path / "a.sqlite", CAMPAIGN)
    starts = [Candidate(5 + i, merged(rng), f"warm start {i + 1}") for i in range(6)]
    archive.asked([*landmarks(), *starts], None)
    archive.told([scored(rng, candidate, [0.5, 0.5]) for candidate in landmarks()])
    for candidate, skill in zip(starts, (0.3, 0.4, 0.0, 0.9, 0.5, 0.6), strict=True):
        archive.told([failure(candidate) if skill == 0.0 else scored(rng, candidate, [skill, skill])])
    return archive


def test_of_many_start_points_results_are_compared_with_the_best_on_search_items(started: Archive) -> None:
    assert [c.label for c in references(started)] == [*(c.label for c in landmarks()), "warm start 4"]


def test_a_parent_is_no_start_point() -> None:
    assert [is_start_point(label) for label in ("warm start 12", "uniform mean", "warm", None)] == [True] + [False] * 3


def test_the_report_names_the_best_start_point_alone_and_draws_the_others_as_merges(started: Archive) -> None:
    contents = read_contents(started)
    assert candidate_marks(contents)[8][0] == "best start point"
    assert contents.title(5) == "warm start 1"
    (figure,) = front_figures(contents)
    named = [text.strip("\u00a0") for trace in figure["data"] for text in trace.get("text", [])]
    assert [text for text in named if is_start_point(text)] == ["warm start 4"]
