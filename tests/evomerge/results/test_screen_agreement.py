from pathlib import Path

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.candidate import Candidate, Scored
from evomerge.results.front import front_as_json
from evomerge.results.report.html import report
from evomerge.results.screen_agreement import read_screen_agreement
from fitness.scores import Estimate, ItemScores, ObjectiveEstimate, Stopped
from tests.evomerge.archives import CAMPAIGN, landmarks, make_archive

MEANS = (0.2, 0.3, 0.5, 0.4, 0.6)


@pytest.fixture
def screened(tmp_path: Path) -> Archive:
    """Five candidates scored whole, the third and fourth in the other order by divergence, and one set aside."""
    archive = Archive.create(tmp_path / "a.sqlite", CAMPAIGN)
    recipe = landmarks()[0].recipe
    candidates = [Candidate(i, recipe, None, i, np.zeros(2)) for i in range(6)]
    archive.asked(candidates, 6)
    for candidate, divergence in zip(candidates, (0.6, 0.5, 0.4, 0.3, 0.1, 0.65), strict=True):
        scores = ItemScores(("screen:words/0", "screen:words/1"), np.array([-divergence - 0.01, -divergence + 0.01]))
        archive.told([(Scored(candidate, scores, 0.1), None)], split="screen", kind="screened")
    for candidate, mean in zip(candidates, MEANS, strict=False):
        estimate = Estimate("search", (ObjectiveEstimate("words", mean, 0.01, 1),))
        archive.told([(Scored(candidate, ItemScores(("words/0",), np.array([mean])), 1.0), estimate)])
    aside = Estimate(
        "search", (ObjectiveEstimate("words", 0.2, 0.01, 0, "estimated"),), Stopped("screen", None, 0, 1.4)
    )
    archive.told([(Scored(candidates[5], ItemScores((), np.empty(0)), 0.0), aside)])
    return archive


def test_the_screen_is_measured_on_candidates_that_were_scored_whole(screened: Archive) -> None:
    found = read_screen_agreement(screened)
    assert found is not None
    assert (found.n_screened, found.n_set_aside) == (6, 1)
    assert found.correlation is not None
    # Spearman's r without ties: 1 - 6 sum(d^2) / (n (n^2 - 1)), here with one swap of neighbours.
    assert (found.correlation.n, found.correlation.value) == (5, pytest.approx(1 - 6 * 2 / (5 * 24)))
    assert "set 1 of 6 candidates aside" in found.in_words


def test_report_and_json_say_what_the_screen_is_worth(screened: Archive, tmp_path: Path) -> None:
    page = report(screened, tmp_path / "r.html", png_dir=None).read_text()
    assert "Spearman&#39;s r = +0.90" in page
    assert front_as_json(screened, "x")["screen"]["rank_correlation"]["value"] == pytest.approx(0.9)


def test_where_nobody_is_screened_nothing_is_said(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a.sqlite", proposals=2)
    assert read_screen_agreement(archive) is None
    assert "screen" not in front_as_json(archive, "x")
