"""Candidates that answered items of their own are judged by all answers together, with genes and without."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import evomerge as em
from evomerge.archive import Archive
from evomerge.campaign import Constraints
from evomerge.config.objectives import Bound
from evomerge.results.front import front_as_json, read_front
from evomerge.results.picks import read_picks
from evomerge.results.pooled import answered_own_items, fitted, note_objectives, points_of, pooled_estimates
from evomerge.results.selected import expected, judged, observed
from evomerge.results.verification.contenders import contenders
from evomerge.schedules.blocks import Blocks
from fitness import ItemScores, MeanEstimator, Objective, Splits
from fitness.scores import Estimate, Stopped

TASK_OF = {f"{task}/{i}": task for i in range(100) for task in ("sums", "words")}
ITEMS, N, SIZE = tuple(TASK_OF), 60, 16
OBJECTIVES = (Objective("sums", ("sums",)), Objective("words", ("words",)))
ESTIMATOR = MeanEstimator(OBJECTIVES, task_of=TASK_OF, splits=Splits({"search": ITEMS}))
SOURCES = {name: em.ParentSource(f"/models/{name}") for name in ("alpha", "beta")}


class World:
    """Right or wrong answers of candidates with two genes, to items of which some are hard."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.genomes = rng.random((N, 2))
        best = np.array([[0.7, 0.4], [0.3, 0.6]])
        abilities = 1.2 - 4.0 * ((self.genomes[:, None] - best) ** 2).sum(axis=2)  # (N, tasks)
        hard = rng.normal(0.0, 2.0, len(ITEMS))
        of_task = np.array([0 if TASK_OF[item] == "sums" else 1 for item in ITEMS])
        self.answers = (rng.random((N, len(ITEMS))) < 1 / (1 + np.exp(hard - abilities[:, of_task]))).astype(float)

    @property
    def truth(self) -> np.ndarray:
        """(N, objectives) means on all items; these are in order of tasks."""
        return np.stack([self.answers[:, k::2].mean(axis=1) for k in range(2)], axis=1)

    def archive(self, path: Path, *, size: int = SIZE, genes: bool = True, noted: bool = True) -> Archive:
        """The first two are landmarks that answered everything and four blocks."""
        archive = Archive.create(path, "")
        if noted:
            note_objectives(archive, OBJECTIVES)
        blocks = Blocks(ITEMS, TASK_OF, size, seed=0, name="own items")
        candidates = [self._candidate(n, genes=genes) for n in range(N)]
        archive.asked(candidates[:2], None)
        archive.asked(candidates[2:], N - 2)
        asked = [ITEMS, blocks.of(10**6), *(blocks.of(n) for n in range(N - 2))]
        done = [em.Scored(c, self.scores(c.number, items), 0.0) for c, items in zip(candidates, asked, strict=True)]
        archive.told([(one, ESTIMATOR.estimate(one.scores)) for one in done])
        return archive

    def scores(self, number: int, items: tuple[str, ...]) -> ItemScores:
        place = {item: i for i, item in enumerate(ITEMS)}
        return ItemScores(items, self.answers[number, [place[item] for item in items]])

    def _candidate(self, number: int, *, genes: bool) -> em.Candidate:
        rules = (em.Rule("linear", tuple(em.Input(name, {"weight": number / 100}) for name in SOURCES)),)
        label = ("alpha", "uniform mean")[number] if number < 2 else None
        genome = self.genomes[number] if genes and label is None else None
        proposal = None if label else number - 2
        return em.Candidate(number, em.Recipe(SOURCES, "alpha", rules), label, proposal, genome)


@pytest.fixture(scope="module")
def world() -> World:
    return World(1)


@pytest.fixture(scope="module")
def archive(world: World, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return world.archive(tmp_path_factory.mktemp("pooled") / "archive.sqlite")


def means_of(found: dict[int, Estimate]) -> np.ndarray:
    return np.array([found[n].mean for n in range(2, N)])


def test_pooled_estimates_are_nearer_to_the_truth_than_means_of_own_items(world: World, archive: Archive) -> None:
    truth = world.truth.mean(axis=1)[2:]
    told = {r.number: r.estimate for r in archive.records("search") if r.estimate is not None}
    off_told, off_pooled = (np.abs(means_of(found) - truth).mean() for found in (told, expected(archive)))
    assert off_pooled < 0.5 * off_told
    stderrs = np.array([expected(archive)[n].mean_stderr for n in range(2, N)])
    assert np.mean(np.abs(means_of(expected(archive)) - truth) < 1.96 * stderrs) > 0.9
    assert stderrs.max() < min(told[n].mean_stderr for n in range(2, N))


def test_fronts_picks_and_contenders_go_by_them_and_say_so(archive: Archive) -> None:
    likely, front = expected(archive), read_front(archive)
    best = max(likely, key=lambda number: likely[number].mean)
    assert read_picks(archive)["best"] == front.picks["best"] == best
    for point in front.points:
        assert (
            point.estimate
            == point.expected
            == likely[point.candidate.number]
            == observed(archive)[point.candidate.number]
        )
    assert {p.estimate.in_words for p in front.points} <= {f"estimated from {SIZE // 2} items, pooled", "full"}
    values = {n: [o.value for o in estimate.objectives] for n, estimate in likely.items()}
    dominating = [
        n
        for n in values
        if not any(all(a >= b for a, b in zip(o, values[n], strict=True)) and o != values[n] for o in values.values())
    ]
    assert sorted(p.candidate.number for p in front.points) == dominating
    assert contenders(archive, 3)[0].number == max(range(2, N), key=lambda number: likely[number].mean)
    kinds = {o["kind"] for point in front_as_json(archive, "toy")["front"] for o in point["objectives"].values()}
    assert kinds <= {"pooled", "full"}


def test_constraints_are_judged_by_them(world: World, tmp_path: Path) -> None:
    archive = world.archive(tmp_path / "a.sqlite")
    words = {n: estimate.objectives[1].value for n, estimate in expected(archive).items()}
    least = float(np.median(list(words.values())))
    Constraints([Bound("words", least, None)]).note(archive)
    front = read_front(archive)
    assert front.infeasible == sum(value < least - 1e-9 for value in words.values())
    assert all(words[point.candidate.number] >= least - 1e-9 and point.violation == 0.0 for point in front.points)
    assert all(words[number] >= least - 1e-9 for number in read_picks(archive).chosen.values())
    assert all(words[candidate.number] >= least - 1e-9 for candidate in contenders(archive, 5))
    archive.close()


def test_who_answered_everything_is_as_told(world: World, archive: Archive) -> None:
    found = observed(archive)[0]
    assert found.kind == "full"
    assert [o.value for o in found.objectives] == pytest.approx(world.truth[0])


def test_without_genes_the_items_are_still_known(world: World, tmp_path: Path) -> None:
    archive = world.archive(tmp_path / "a.sqlite", genes=False)
    truth = world.truth.mean(axis=1)[2:]
    told = {r.number: r.estimate for r in archive.records("search") if r.estimate is not None}
    found = expected(archive)
    assert np.abs(means_of(found) - truth).mean() < 0.85 * np.abs(means_of(told) - truth).mean()
    assert found[2].in_words == f"estimated from {SIZE // 2} items, pooled"
    assert np.isnan(points_of([None, object()])).all()
    archive.close()


def test_an_archive_that_does_not_say_what_objectives_are_means_of_is_judged_by_what_was_told(
    world: World, tmp_path: Path
) -> None:
    archive = world.archive(tmp_path / "a.sqlite", noted=False)
    assert answered_own_items(archive)
    assert judged(archive) == archive.records("search")
    # What is expected knows at least how hard items are.
    truth, told = world.truth.mean(axis=1)[2:], means_of(observed(archive))
    assert np.abs(means_of(expected(archive)) - truth).mean() < np.abs(told - truth).mean()
    archive.close()


def test_the_same_items_first_parts_of_them_or_no_items_are_no_own_items(world: World, tmp_path: Path) -> None:
    archive = world.archive(tmp_path / "a.sqlite", size=len(ITEMS))
    assert not answered_own_items(archive)
    assert pooled_estimates(archive, archive.records("search")) == {}
    candidates = [em.Candidate(N + k, archive.candidate(5).recipe, None, N - 2 + k) for k in range(2)]
    archive.asked(candidates, 2)
    for candidate, n_items in zip(candidates, (20, 0), strict=True):
        part = world.scores(5, ITEMS[:n_items])
        estimate = replace(ESTIMATOR.estimate(world.scores(5, ITEMS)), stopped=Stopped("rung", None, n_items, 1.0))
        archive.told([(em.Scored(candidate, part, 0.0), estimate)])
    assert not answered_own_items(archive)
    archive.close()


def test_an_archive_that_did_not_change_is_not_fitted_again(world: World, archive: Archive, tmp_path: Path) -> None:
    judged(archive)
    before = fitted.cache_info()
    read_front(archive)
    other = world.archive(tmp_path / "same.sqlite")  # the same answers in another archive
    judged(other)
    assert fitted.cache_info().misses == before.misses
    other.close()


def test_a_note_that_cannot_be_read_changes_nothing(world: World, tmp_path: Path) -> None:
    archive = world.archive(tmp_path / "a.sqlite")
    for text in ("{", json.dumps({"sums": ["sums"], "words": ["elsewhere"]})):
        archive.note("objectives", text)
        assert judged(archive) == archive.records("search")
    archive.close()
