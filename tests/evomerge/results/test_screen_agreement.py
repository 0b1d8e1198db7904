import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm, spearmanr

from evomerge.archive import Archive
from evomerge.candidate import Candidate, Scored
from evomerge.results.front import front_as_json
from evomerge.results.pages.frozen import report
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


def test_the_screen_is_measured_as_if_all_had_been_scored(screened: Archive) -> None:
    found = read_screen_agreement(screened)
    assert found is not None
    assert (found.n_screened, found.n_set_aside, found.n_items) == (6, 1, None)
    assert found.correlation is not None
    assert found.among_scored is not None
    # Spearman's r without ties: 1 - 6 sum(d^2) / (n (n^2 - 1)), here with one swap of neighbours.
    assert (found.among_scored.n, found.among_scored.value) == (5, pytest.approx(1 - 6 * 2 / (5 * 24)))
    # Thorndike's case 2: the slope and what is left around it among the five, with the variance of all six.
    quantiles = norm.ppf((np.array([2, 3, 4, 5, 6, 1]) - 0.5) / 6)
    slope, start = np.polyfit(quantiles[:5], MEANS, 1)
    left = np.sum((np.array(MEANS) - start - slope * quantiles[:5]) ** 2) / 3
    pearson = slope * quantiles.std() / math.sqrt(slope**2 * quantiles.var() + left)
    assert found.correlation.value == pytest.approx(6 / math.pi * math.asin(pearson / 2))
    assert "set 1 of 6 candidates aside" in found.in_words
    assert "the scores of 5 that were scored whole" in found.in_words
    assert "among these 5 alone it is +0.90" in found.in_words


def test_report_and_json_say_what_the_screen_is_worth(screened: Archive, tmp_path: Path) -> None:
    page = report(screened, tmp_path / "r.html", png_dir=None).read_text()
    assert "corrected for how these were chosen" in page
    told = front_as_json(screened, "x")["screen"]
    assert told["among_scored"]["value"] == pytest.approx(0.9)
    assert (told["rank_correlation"]["n"], told["items"]) == (5, None)


def halved(path: Path, n_whole: int) -> tuple[Archive, float]:
    """Return an archive of 120 screened, half of them kept, a third of those after 10 items and the others whole.

    The correlation is the one of all.
    """
    archive = Archive.create(path, CAMPAIGN)
    recipe, n, rng = landmarks()[0].recipe, 120, np.random.default_rng(0)
    skill = rng.standard_normal(n)
    divergence = np.exp(-skill - 0.5 * rng.standard_normal(n))
    answers = (rng.random((n, 40)) < 1 / (1 + np.exp(-skill))[:, None]).astype(float)
    archive.asked([Candidate(i, recipe, None, i, np.zeros(2)) for i in range(n)], n)
    items = tuple(f"words/{i}" for i in range(40))
    kept = np.argsort(divergence)[: n // 2]
    whole = set(kept[np.argsort(-answers[kept, :10].mean(axis=1))][:n_whole].tolist())
    for i in range(n):
        candidate = Candidate(i, recipe, None, i, np.zeros(2))
        on_screen = ItemScores(("screen:words/0",), -divergence[i : i + 1])
        archive.told([(Scored(candidate, on_screen, 0.1), None)], split="screen", kind="screened")
        answered = 40 if i in whole else 10 if i in kept else 0
        reason = None if i in whole else Stopped("rung" if i in kept else "screen", None, answered, 1.0)
        value = float(answers[i, :answered].mean()) if answered else 0.1
        estimate = Estimate("search", (ObjectiveEstimate("words", value, 0.01, answered),), reason)
        archive.told([(Scored(candidate, ItemScores(items[:answered], answers[i, :answered]), 1.0), estimate)])
    return archive, float(spearmanr(-divergence, answers.mean(axis=1)).statistic)


def test_a_halving_behind_the_screen_is_corrected_for_too(tmp_path: Path) -> None:
    archive, of_all = halved(tmp_path / "a.sqlite", n_whole=20)
    found = read_screen_agreement(archive)
    assert found is not None
    assert found.correlation is not None
    assert found.among_scored is not None
    assert found.correlation.n == 20
    assert found.correlation.low < of_all < found.correlation.high
    assert abs(found.correlation.value - of_all) < abs(found.among_scored.value - of_all)


def test_where_too_few_are_scored_whole_it_is_the_agreement_with_the_first_items(
    tmp_path: Path,
) -> None:
    found = read_screen_agreement(halved(tmp_path / "a.sqlite", n_whole=3)[0])
    assert found is not None
    assert found.correlation is not None
    assert (found.n_items, found.correlation.n) == (10, 60)
    assert "that were scored on 10 items" in found.in_words


def test_where_nobody_is_screened_nothing_is_said(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a.sqlite", proposals=2)
    assert read_screen_agreement(archive) is None
    assert "screen" not in front_as_json(archive, "x")
