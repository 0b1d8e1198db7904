from __future__ import annotations

import functools
import random
import time
from pathlib import Path

import numpy as np
import pytest

from evomerge.campaign import CampaignError
from evomerge.responses.collect import collect_responses, name_of, respondents
from evomerge.responses.files import kept_rows
from evomerge.workers.in_process import InProcessPool
from fitness.errors import FitnessError
from search_spaces.errors import SpaceError
from tests.evomerge.killing import CONTEXT
from tests.evomerge.toy import ITEMS, ToySpace, ToyWorker


def collect(directory: Path, n: int, *, seed: int = 0, content: str = "abc", worker: ToyWorker | None = None):
    candidates = respondents(ToySpace(), n, seed)
    pool = InProcessPool(lambda: worker or ToyWorker())
    told: list[tuple[int, int]] = []
    watch = lambda done, total: told.append((done, total))  # noqa: E731
    matrix = collect_responses(candidates, pool, directory, items=ITEMS, content=content, watch=watch)
    return matrix, told


def test_landmarks_come_first_and_more_models_keep_the_ones_before():
    few, many = respondents(ToySpace(), 6, 1), respondents(ToySpace(), 9, 1)
    assert [name_of(c) for c in few] == ["alpha", "beta", "uniform mean", "random 3", "random 4", "random 5"]
    assert [c.recipe for c in many[:6]] == [c.recipe for c in few]
    assert len({c.recipe.digest for c in many}) == 9


def test_every_model_is_scored_once_and_what_is_kept_is_not_scored_again(tmp_path):
    first, second = ToyWorker(), ToyWorker()
    collect(tmp_path, 5, worker=first)
    matrix, told = collect(tmp_path, 8, worker=second)
    assert (first.seen, second.seen) == ([0, 1, 2, 3, 4], [5, 6, 7])
    assert told == [(5, 8), (6, 8), (7, 8), (8, 8)]
    assert matrix.items == ITEMS
    (tmp_path / "other").mkdir()
    whole, _ = collect(tmp_path / "other", 8)
    assert whole.models == matrix.models
    np.testing.assert_array_equal(whole.scores, matrix.scores)
    assert matrix.shares["alpha"] == {"base": 0.0, "alpha": 1.0, "beta": 0.0}


def test_a_killed_collection_goes_on_and_ends_as_one_that_was_not(tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for directory in (killed, whole):
        directory.mkdir()
    chance = random.Random(0)
    for _ in range(2):
        process = CONTEXT.Process(target=functools.partial(_slowly, killed))
        process.start()
        end = time.monotonic() + 60
        n = len(list(killed.glob("*.parquet")))
        while len(list(killed.glob("*.parquet"))) < n + 2 and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.1))
        process.kill()
        process.join()
    assert 4 <= len(kept_rows(killed)) < 40
    np.testing.assert_array_equal(collect(killed, 40)[0].scores, collect(whole, 40)[0].scores)


def _slowly(directory: Path) -> None:
    collect(directory, 40, worker=ToyWorker(pause=0.05))


@pytest.mark.parametrize(("changed", "found"), [({"seed": 1}, "another merge"), ({"content": "new"}, "other items")])
def test_rows_of_another_campaign_are_refused(tmp_path, changed, found):
    collect(tmp_path, 5)
    with pytest.raises(FitnessError, match=f"expected rows of this campaign, found {found} in row"):
        collect(tmp_path, 5, **changed)


def test_failures_leave_no_row_and_five_in_a_row_end_it(tmp_path):
    matrix, _ = collect(tmp_path, 12, worker=ToyWorker(fail_below=0.3))
    assert 3 < len(matrix.models) < 12
    (tmp_path / "broken").mkdir()
    with pytest.raises(CampaignError, match=r"5 different merges failed in a row.*1 rows are kept"):
        collect(tmp_path / "broken", 12, worker=ToyWorker(fail_below=0.999))


def test_a_space_without_genes_needs_a_matrix():
    class Niches(ToySpace):
        def gene_names(self):
            return []

    with pytest.raises(SpaceError, match="--matrix"):
        respondents(Niches(), 5, 0)
