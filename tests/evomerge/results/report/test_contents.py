from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.candidate import Candidate, Done
from evomerge.results.report.contents import read_contents
from evomerge.results.report.details import task_scores
from evomerge.results.report.figures import DRAWN_POINTS, dominated, panels
from evomerge.results.report.progress_figures import new_bests, progress_figures
from evomerge.results.report.verdict import headline
from fitness.scores import Estimate, ItemScores
from tests.evomerge.archives import CAMPAIGN, failure, landmarks, make_archive, scored, verification


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    path = tmp_path_factory.mktemp("run") / "archive.sqlite"
    make_archive(path, failures=(3, 9, 30)).close()
    return Archive.read(path)


def test_contents_count_what_was_told(archive: Archive) -> None:
    contents = read_contents(archive)
    assert (contents.name, contents.evaluations, contents.n_failures) == ("arithmetic and words", 65, 3)
    assert contents.failures[0].numbers == (8, 14, 35)
    assert 8 not in contents.scored.numbers
    assert contents.scored.evaluation[-1] == 65


def test_the_front_is_sorted_along_the_first_objective_and_undominated(archive: Archive) -> None:
    found = read_contents(archive).scored
    values = found.values[found.front]
    assert (np.diff(values[:, 0]) <= 0).all()
    better = (found.values[:, None] >= values[None]).all(2) & (found.values[:, None] > values[None]).any(2)
    assert not better.any()
    assert read_contents(archive).picked("knee") in found.front


def test_the_best_parent_is_the_one_with_the_highest_mean(archive: Archive) -> None:
    contents = read_contents(archive)
    parents = contents.scored.means[:3]
    assert contents.best_parent == int(np.argmax(parents))
    assert [contents.title(n) for n in (0, 3, 5)] == ["arithmetic", "uniform mean", "candidate 5"]


@pytest.mark.parametrize(
    ("values", "expected"), [([], []), ([1.0], [0]), ([0.2, 0.2, 0.5, 0.4, 0.6], [0, 2, 4]), ([3.0, 2.0], [0])]
)
def test_new_bests_are_strictly_higher_than_all_before(values: list[float], expected: list[int]) -> None:
    assert new_bests(np.array(values)).tolist() == expected


def test_best_so_far_rises_and_lasts_until_the_last_outcome(archive: Archive) -> None:
    contents = read_contents(archive)
    figures = progress_figures(contents)
    names = ["relative hypervolume", "mean of all objectives", "arithmetic", "words"]
    assert [figure["name"] for figure in figures] == names
    for figure in figures:
        best = figure["data"][-1]
        assert (np.diff(best["y"]) >= 0).all()
        assert best["x"][-1] == contents.evaluations
    assert figures[2]["data"][-1]["y"][-1] == pytest.approx(contents.scored.values[:, 0].max(), rel=1e-4)
    level = figures[2]["layout"]["shapes"][0]
    assert level["y0"] == level["y1"] == contents.scored.values[:3, 0].max()


def test_relative_hypervolume_is_that_of_the_front_in_the_box_of_all_scores(archive: Archive) -> None:
    contents = read_contents(archive)
    values = contents.scored.values
    scaled = (values - values.min(axis=0)) / np.ptp(values, axis=0)
    volumes = progress_figures(contents)[0]["data"][-1]
    for told, volume in zip(volumes["x"], volumes["y"], strict=True):
        so_far = scaled[contents.scored.evaluation <= told]
        x, y = so_far[np.argsort(-so_far[:, 0], kind="stable")].T  # the area under a staircase, from the right
        heights = np.maximum.accumulate(y)
        assert volume == pytest.approx(float(np.sum((x - np.append(x[1:], 0.0)) * heights)), abs=2e-5)


def with_seconds(outcome: tuple[Done, Estimate | None], seconds: float) -> tuple[Done, Estimate | None]:
    done, estimate = outcome
    return replace(done, seconds=seconds), estimate


def test_a_pause_between_sessions_is_no_search_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    archive = Archive.create(tmp_path / "a.sqlite", CAMPAIGN)
    clock = iter([1000.0, 1002.5, 1005.0, 1005.0 + 86400])
    monkeypatch.setattr("evomerge.archive.writing.time.time", lambda: next(clock))
    archive.asked(landmarks(), None)
    for candidate in landmarks()[:3]:
        archive.told([scored(rng, candidate, [0.5, 0.5])])
    # 2.5 s each; the third came a day later: its own 2.5 s and the 10 s of overhead that are allowed for
    assert read_contents(archive).hours * 3600 == pytest.approx(2.5 + 2.5 + 12.5)


def test_candidates_scored_together_and_at_rungs_have_all_of_their_search_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    archive = Archive.create(tmp_path / "a.sqlite", CAMPAIGN)
    clock = iter([1000.0, 1050.0, 1100.0, 1150.0, 1151.0])
    monkeypatch.setattr("evomerge.archive.writing.time.time", lambda: next(clock))
    first, second, third, *_ = landmarks()
    archive.asked(landmarks(), None)
    archive.told([with_seconds(scored(rng, c, [0.5, 0.5]), 25.0) for c in (first, second)])  # together, in 50 s
    for candidate in (third, first):  # 50 s each, up to a rung; then one of them is told
        archive.told([with_seconds((scored(rng, candidate, [0.5, 0.5])[0], None), 50.0)], kind="held")
    archive.told([with_seconds(scored(rng, third, [0.5, 0.5]), 50.0)])
    assert read_contents(archive).hours * 3600 == pytest.approx(151.0)


def test_the_task_of_an_item_is_what_stands_before_its_last_slash() -> None:
    found = task_scores(ItemScores(("a/b/0", "a/b/1", "c/0", "d"), np.array([1.0, 0.0, 1.0, 0.5])))
    assert [(t.task, t.mean, t.n_items) for t in found] == [("a/b", 0.5, 2), ("c", 1.0, 1), ("d", 0.5, 1)]
    assert found[0].stderr == pytest.approx(np.std([1, 0, 1, 0], ddof=1) / 2**0.5)  # one more right, one more wrong
    assert [t.stderr for t in found[1:]] == [0.5, 0.5]


@pytest.mark.parametrize(("objectives", "n_panels"), [(1, 1), (2, 1), (3, 3)])
def test_panels_show_every_pair_of_objectives(tmp_path: Path, objectives: int, n_panels: int) -> None:
    found = read_contents(make_archive(tmp_path / "a.sqlite", objectives=objectives, proposals=3)).scored
    assert len(panels(found)) == n_panels
    assert panels(found)[0].is_front == (objectives == 2)


def test_dominated_points_are_thinned_and_front_points_are_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    archive = make_archive(tmp_path / "a.sqlite", proposals=0)
    recipe = landmarks()[0].recipe
    many = [Candidate(5 + i, recipe, None, i) for i in range(DRAWN_POINTS + 1500)]
    outcome, _ = scored(rng, many[0], [0.5, 0.5])
    archive.asked(many, len(many))
    archive.told([(type(outcome)(c, outcome.scores, 0.0), scored_estimate(rng)) for c in many])
    contents = read_contents(archive)
    drawn = dominated(contents.scored, 1)
    assert len(drawn) == len(set(drawn.tolist())) == DRAWN_POINTS
    assert not set(drawn.tolist()) & set(contents.scored.front.tolist())


def scored_estimate(rng: np.random.Generator):
    from fitness.scores import Estimate, ObjectiveEstimate

    return Estimate("search", tuple(ObjectiveEstimate(n, float(rng.random()), 0.01, 9) for n in ("a", "b")))


class TestHeadline:
    def test_before_any_score(self, tmp_path: Path) -> None:
        archive = Archive.create(tmp_path / "a.sqlite", CAMPAIGN)
        assert headline(read_contents(archive)).text == "No candidate has been scored yet."
        archive.asked(landmarks(), None)
        archive.told([failure(c) for c in landmarks()])
        assert headline(read_contents(archive)).text == "All 5 candidates failed."

    def test_when_no_merge_beats_the_best_parent_on_search_items(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        archive = Archive.create(tmp_path / "a.sqlite", CAMPAIGN)
        archive.asked(landmarks(), None)
        archive.told([scored(rng, c, [0.9 - 0.1 * c.number] * 2) for c in landmarks()])
        found = headline(read_contents(archive))
        assert found.standing == "open"
        assert found.text.startswith("No merge is better than the best parent (arithmetic")
        assert found.text.endswith("Nothing is verified on held-out items yet.")

    @pytest.mark.parametrize(("wins", "standing"), [(True, "won"), (False, "lost")])
    def test_after_verification_it_is_the_verdict(self, tmp_path: Path, wins: bool, standing: str) -> None:
        archive = make_archive(tmp_path / "a.sqlite", proposals=2)
        found = verification(wins=wins)
        archive.note("verification", found.to_json())
        assert headline(read_contents(archive)) == type(headline(read_contents(archive)))(standing, found.verdict)
