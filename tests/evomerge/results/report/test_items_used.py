from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.candidate import Candidate, Scored
from evomerge.results.pages.progress import progress
from evomerge.results.pages.snapshot import read_snapshot
from evomerge.results.report.contents import read_contents
from evomerge.results.report.details import candidate_marks
from evomerge.results.report.items_used import note_search_items, read_items_used
from evomerge.results.report.progress_figures import item_figures, progress_figures
from fitness.scores import Estimate, ItemScores, ObjectiveEstimate, Stopped
from tests.evomerge.archives import CAMPAIGN, landmarks, make_archive
from tests.evomerge.results.report.back_ends import assert_drawn_alike

ITEMS = tuple(f"words/{i}" for i in range(100))


def outcome(
    candidate: Candidate, items: range, value: float, stopped: Stopped | None = None
) -> tuple[Scored, Estimate]:
    scores = ItemScores(tuple(ITEMS[i] for i in items), np.full(len(items), value))
    kind = "full" if len(items) == len(ITEMS) else "estimated"
    found = Estimate("search", (ObjectiveEstimate("words", value, 0.01, len(items), kind),), stopped)
    return Scored(candidate, scores, 1.0), found


@pytest.fixture
def raced(tmp_path: Path) -> Archive:
    """Two landmarks and a proposal scored whole, and one proposal stopped for each of three reasons."""
    archive = Archive.create(tmp_path / "a.sqlite", CAMPAIGN)
    recipe = landmarks()[0].recipe
    proposals = [Candidate(5 + i, recipe, None, i, np.zeros(2)) for i in range(4)]
    archive.asked(landmarks()[:2], None)
    archive.told([outcome(c, range(100), 0.5 + 0.1 * c.number) for c in landmarks()[:2]])
    archive.asked(proposals, 4)
    stops = [Stopped("worse", 1, 20, 0.3), Stopped("hopeless", 1, 60, 0.2), Stopped("rung", None, 20, 1.4)]
    archive.told([outcome(proposals[0], range(100), 0.7)])
    archive.told([outcome(c, range(s.n_items), 0.95, s) for c, s in zip(proposals[1:], stops, strict=True)])
    return archive


def test_every_answer_counts_once_and_whole_evaluation_asks_everything_of_everyone(raced: Archive) -> None:
    again = outcome(raced.candidate(6), range(10, 30), 0.5)  # ten of these twenty it has answered
    raced.told([again], kind="rescored")
    found = read_items_used(raced)
    assert found is not None
    assert found.answered.tolist() == [100, 200, 300, 320, 380, 400, 410]
    assert found.candidates.tolist() == [1, 2, 3, 4, 5, 6, 6]
    assert (found.each, found.n_items, found.whole) == (100, 100, 600)
    assert found.saving == pytest.approx(600 / 410)


def test_whole_evaluation_is_of_all_search_items_where_candidates_are_scored_on_some(raced: Archive) -> None:
    note_search_items(raced, 1000)
    found = read_items_used(raced)
    assert found is not None
    assert (found.each, found.n_items, found.whole) == (100, 1000, 6000)


def test_nothing_is_said_of_items_where_nothing_is_answered(tmp_path: Path) -> None:
    assert read_items_used(Archive.create(tmp_path / "a.sqlite", CAMPAIGN)) is None


def test_where_every_candidate_answers_everything_there_is_nothing_to_draw(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a.sqlite", proposals=4)
    assert item_figures(read_contents(archive)) == []
    assert not progress(read_snapshot(archive))["items"]["says"]


def test_items_and_stops_are_drawn_where_candidates_were_stopped(raced: Archive, tmp_path: Path) -> None:
    contents = read_contents(raced)
    used, stops = item_figures(contents)
    assert [trace["y"][-1] for trace in used["data"]] == [600, 400]
    assert [(t["x"], t["y"]) for t in stops["data"][1:]] == [([6], [20.0]), ([7], [60.0]), ([8], [20.0])]
    assert stops["data"][0]["x"] == [0, 1, 5]
    assert "stopped after 20 of 100 items" in stops["data"][1]["text"][0]
    assert "behind a rival, with confidence: words" in stops["data"][1]["text"][0]
    assert_drawn_alike([used, stops])
    told = progress(read_snapshot(raced))
    assert [(stop["reason"], stop["count"], stop["items"]) for stop in told["stops"]] == [
        ("behind a rival, with confidence", 1, 20),
        ("cannot catch up with a rival", 1, 60),
        ("left behind by a halving", 1, 20),
    ]
    assert (told["items"]["answered"], told["items"]["saving"]) == (400, 1.5)


def test_items_alone_are_drawn_where_candidates_are_scored_on_some_and_none_is_stopped(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a.sqlite", proposals=4)
    note_search_items(archive, 2400)
    assert [figure["name"] for figure in item_figures(read_contents(archive))] == ["items against candidates"]


def test_a_stopped_candidate_is_on_no_front_and_no_best_so_far_but_says_where_it_was_stopped(raced: Archive) -> None:
    contents = read_contents(raced)  # the stopped ones were right on all but 5 % of what they answered
    assert contents.scored.numbers[contents.scored.front].tolist() == [5]
    assert progress_figures(contents)[0]["data"][-1]["y"][-1] == 0.7
    assert candidate_marks(contents)[7] == ["stopped after 60 items"]


def test_a_larger_estimate_does_not_hide_that_a_candidate_was_stopped(raced: Archive) -> None:
    done, found = outcome(raced.candidate(6), range(30), 0.5)
    raced.told([(done, replace(found, stopped=None))], kind="rescored")
    scored = read_contents(raced).scored
    assert scored.stops[scored.index(6) or 0] == Stopped("worse", 1, 20, 0.3)
