"""What a user's own loop, optimiser or space does wrong is said in a sentence, and nothing that was told is lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.campaign import Campaign, CampaignError
from evomerge.campaign.past import InCube
from evomerge.campaign.progress import Limits
from evomerge.optimisers.random_search import RandomSearch
from evomerge.workers.in_process import InProcessPool
from tests.evomerge.toy import ToyEstimator, ToySpace, ToyWorker
from tests.evomerge.toy_run import campaign, run_toy


class Own:
    """Random search whose answers are changed from the third proposal on."""

    def __init__(self, change: Callable[[list[Any]], Any] = lambda genomes: genomes) -> None:
        self.change, self.random, self.asked, self.told = change, RandomSearch(2, seed=3), 0, 0

    def ask(self, n: int) -> Any:
        self.asked += n
        genomes = list(self.random.ask(n))
        return genomes if self.asked <= 2 else self.change(genomes)

    def tell(self, outcomes: Any) -> None:
        self.told += len(outcomes)


def toy(path: Path, optimiser: Any, space: Any = None) -> Campaign:
    archive = Archive.open(path) if path.exists() else Archive.create(path, "name: toy\n")
    pool = InProcessPool(ToyWorker)
    parts = {"estimator": ToyEstimator(), "pool": pool, "limits": Limits(10)}
    return Campaign(archive, space or ToySpace(), optimiser, **parts)


def scored(search: Campaign, n: int) -> list[Any]:
    return [ToyWorker().evaluate(candidate, search.items(candidate)) for candidate in search.ask(n)]


def n_told(search: Campaign) -> int:
    return len(search.archive.records())


def fails(*_: object) -> Any:
    raise LookupError("lost")


def test_what_was_asked_by_hand_and_not_told_is_scored_by_run(tmp_path: Path) -> None:
    run_toy(tmp_path / "whole.sqlite", "random", 8)
    search = campaign(Archive.create(tmp_path / "a.sqlite", ""), RandomSearch(2, seed=3), InProcessPool(ToyWorker), 8)
    assert [candidate.number for candidate in search.ask(2)] == [0, 1]
    assert search.run() == "evaluations"
    with closing(Archive.read(tmp_path / "whole.sqlite")) as whole:
        assert [r.estimate for r in search.archive.records()] == [r.estimate for r in whole.records()]


@pytest.mark.parametrize("again", [lambda done: [done], lambda done: [done, done]])
def test_a_candidate_is_told_once_and_only_after_it_was_asked(tmp_path: Path, again: Any) -> None:
    optimiser = Own()
    search = toy(tmp_path / "a.sqlite", optimiser)
    search.tell(scored(search, 4))
    (done,) = scored(search, 1)
    if len(again(done)) == 1:
        search.tell([done])
    before = optimiser.told, n_told(search)
    with pytest.raises(CampaignError, match=r"tell: expected candidates that `ask` returned, .* found candidate 4"):
        search.tell(again(done))
    assert (optimiser.told, n_told(search)) == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda genomes: [*genomes, *genomes], r"Own\.ask\(1\): expected at most 1 genomes, found 2"),
        (lambda genomes: [None], r"Own\.ask\(1\): expected genomes of numbers, found None"),
        (lambda genomes: ["a"], r"Own\.ask\(1\): expected genomes of numbers, found ValueError"),
        (lambda genomes: [np.zeros(3)], r"ToySpace\.decode: expected a Recipe, found ValueError"),
        (lambda genomes: None, r"Own\.ask\(1\): expected at most 1 genomes, found TypeError"),
        (fails, r"Own\.ask\(1\): expected at most 1 genomes, found LookupError: lost"),
    ],
)
def test_an_optimiser_at_fault_is_named_and_what_was_told_is_saved(tmp_path: Path, change: Any, words: str) -> None:
    search = toy(tmp_path / "a.sqlite", Own(change))
    with pytest.raises(CampaignError, match=words):
        search.run()
    assert n_told(search) == search.archive.n_candidates == 5
    search.archive.close()
    assert toy(tmp_path / "a.sqlite", Own()).run() == "evaluations"


def test_genomes_may_be_the_rows_of_an_array(tmp_path: Path) -> None:
    assert toy(tmp_path / "a.sqlite", Own(np.array)).run() == "evaluations"


def test_what_an_optimiser_raises_when_told_comes_after_the_commit(tmp_path: Path) -> None:
    optimiser = Own()
    optimiser.tell = fails  # type: ignore[method-assign]
    search = toy(tmp_path / "a.sqlite", optimiser)
    with pytest.raises(CampaignError, match=r"Own\.tell: expected None, found LookupError: lost") as caught:
        search.run()
    assert isinstance(caught.value.__cause__, LookupError)
    assert n_told(search) == 4


@pytest.mark.parametrize(
    ("decode", "words"), [(fails, "found LookupError: lost"), (lambda genome: "merge", "found str")]
)
def test_a_space_at_fault_is_named(tmp_path: Path, decode: Any, words: str) -> None:
    space = ToySpace()
    space.decode = decode  # type: ignore[method-assign]
    search = toy(tmp_path / "a.sqlite", Own(), space)
    with pytest.raises(CampaignError, match=rf"ToySpace\.decode: expected a Recipe, {words}"):
        search.run()
    assert n_told(search) == 3


@pytest.mark.parametrize("gene", [1.5, -0.1, float("nan")])
def test_genes_outside_of_the_cube_are_refused(tmp_path: Path, gene: float) -> None:
    search = toy(tmp_path / "a.sqlite", InCube(Own(lambda genomes: [np.array([gene, 0.5])])))
    with pytest.raises(CampaignError, match=r"^Own\.ask\(1\): expected genes in \[0, 1\], found"):
        search.run()
    assert n_told(search) == 5
