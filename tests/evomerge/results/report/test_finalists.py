from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from evomerge.archive import Archive
from evomerge.results.report.contents import read_contents
from evomerge.results.report.finalists import finalist_figures, finalists, finalists_in_words
from tests.evomerge.archives import make_archive, scored, verification, with_winners
from tests.evomerge.results.report.back_ends import assert_drawn_alike


def verified(directory: Path, *, objectives: int = 2, validation: bool = True) -> Archive:
    """Return an archive whose candidates 7, 8 and 9 were scored on validation items, and 9 on test items."""
    rng = np.random.default_rng(3)
    archive = make_archive(directory / "a.sqlite", objectives=objectives, proposals=12)
    levels = {7: 0.4, 8: 0.5, 9: 0.6}
    for number, level in levels.items() if validation else ():
        found = scored(rng, archive.candidate(number), [level] * objectives, "validation")
        archive.told([found], split="validation", kind="verified")
    for number in (0, 1, 9):
        found = scored(rng, archive.candidate(number), [0.6] * objectives, "test")
        archive.told([found], split="test", kind="verified")
    archive.note(
        "verification",
        with_winners(verification(objectives=objectives, contender=None, winner=9), "better").to_json(),
    )
    return archive


def test_finalists_are_what_winners_were_chosen_among_and_no_landmarks(tmp_path: Path) -> None:
    found = finalists(read_contents(verified(tmp_path)))
    assert (found.split, found.numbers.tolist()) == ("validation", [7, 8, 9])


def test_without_validation_items_finalists_are_the_candidates_that_were_tested(tmp_path: Path) -> None:
    found = finalists(read_contents(verified(tmp_path, validation=False)))
    assert (found.split, found.numbers.tolist()) == ("test", [9])


def test_a_gap_is_kept_when_both_errors_together_explain_it(tmp_path: Path) -> None:
    contents = read_contents(verified(tmp_path))
    found = finalists(contents)
    for i, number in enumerate(found.numbers.tolist()):
        searched = contents.expected[number]
        held_out = contents.held_out["validation"][number]
        assert found.gaps[i] == pytest.approx(searched.mean - held_out.mean)
        variance = sum(o.stderr**2 for o in held_out.objectives)
        variance += sum(o.stderr**2 for o in searched.objectives)
        assert found.kept[i] == (abs(found.gaps[i]) <= 1.959964 * np.sqrt(variance) / 2)


def test_the_words_give_the_mean_gap_with_its_direction(tmp_path: Path) -> None:
    contents = read_contents(verified(tmp_path))
    gap = float(finalists(contents).gaps.mean())
    direction = "below" if gap >= 0 else "above"
    expected = f"The means of the 3 finalists on validation items are on average {abs(gap):.3f} {direction}"
    assert finalists_in_words(contents).startswith(expected)


@pytest.mark.parametrize(
    ("objectives", "names"), [(1, ["arithmetic"]), (2, ["mean of all objectives", "arithmetic", "words"])]
)
def test_the_mean_and_each_objective_are_drawn_with_intervals(
    tmp_path: Path, objectives: int, names: list[str]
) -> None:
    contents = read_contents(verified(tmp_path, objectives=objectives))
    figures = finalist_figures(contents)
    assert [figure["name"] for figure in figures] == names
    chosen, tested = figures[-1]["data"]
    assert len(chosen["x"]) == 3
    assert (len(tested["x"]), tested["text"]) == (1, ["candidate 9"])
    searched = contents.expected[9].objectives[-1]
    exact = stats.binomtest(round(searched.value * searched.n_items), searched.n_items).proportion_ci(method="exact")
    bars = chosen["error_x"]
    ends = searched.value - bars["arrayminus"][-1], searched.value + bars["array"][-1]
    assert ends == pytest.approx((exact.low, exact.high), abs=0.01)
    assert_drawn_alike(figures)


def test_before_verification_there_are_no_finalists(tmp_path: Path) -> None:
    contents = read_contents(make_archive(tmp_path / "a.sqlite", proposals=4))
    assert finalist_figures(contents) == []
    assert finalists_in_words(contents) == ""
