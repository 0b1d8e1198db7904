import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evomerge.archive import Archive, ArchiveError, Asked, Told
from evomerge.archive.campaign_text import Role, objective_roles
from evomerge.archive.codec import pack_estimate, pack_scores, unpack_estimate, unpack_scores
from evomerge.candidate import Candidate, Failure, Scored
from fitness.scores import Budget, Estimate, ItemScores, ObjectiveEstimate, Stopped
from tests.evomerge.toy import ToyEstimator, ToySpace, ToyWorker, weights_recipe


def filled(path: Path, campaign: str = "name: toy\n") -> Archive:
    """Three landmarks, one asked genome that failed, one that was never told."""
    archive = Archive.create(path, campaign)
    landmarks = [Candidate(i, mark.recipe, mark.name) for i, mark in enumerate(ToySpace().landmarks())]
    archive.asked(landmarks, None)
    worker = ToyWorker()
    done = [worker.evaluate(candidate, Budget("search")) for candidate in landmarks]
    assert all(isinstance(d, Scored) for d in done)
    archive.told([(d, ToyEstimator().estimate(d.scores)) for d in done if isinstance(d, Scored)])
    genomes = np.array([[1 / 3, 0.1], [0.2, 0.7]])
    asked = [Candidate(3 + i, ToySpace().decode(g), None, i, g) for i, g in enumerate(genomes)]
    archive.asked(asked, 5)
    archive.told([(Failure(asked[0], "merge", "NaN in beta", 2, "Traceback ...", 1.5), None)])
    return archive


def test_history_returns_every_event_as_it_was_committed(tmp_path: Path) -> None:
    history = list(filled(tmp_path / "a.sqlite").history())
    assert [type(event) for event in history] == [Asked, Told, Asked, Told]
    asked, told = history[2], history[3]
    assert isinstance(asked, Asked)
    assert isinstance(told, Told)
    assert asked.requested == 5
    assert asked.candidates[0].genome.tobytes() == np.array([1 / 3, 0.1]).tobytes()
    assert asked.candidates[1].recipe == weights_recipe(0.2, 0.7)
    record = told.records[0]
    assert (record.number, record.stage, record.reason, record.attempts) == (3, "merge", "NaN in beta", 2)


def test_scores_and_estimates_come_back_bit_for_bit(tmp_path: Path) -> None:
    archive = filled(tmp_path / "a.sqlite")
    done = ToyWorker().evaluate(Candidate(1, weights_recipe(0.0, 1.0)), Budget("search"))
    assert isinstance(done, Scored)
    assert archive.scores(1, "search") == done.scores
    assert archive.scores(1, "test") is None
    assert archive.records()[1].estimate == ToyEstimator().estimate(done.scores)


def test_the_archive_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    writer = filled(tmp_path / "a.sqlite")
    reader = Archive.read(tmp_path / "a.sqlite")
    writer.asked([Candidate(5, weights_recipe(0.1, 0.1))], 1)
    assert reader.n_candidates == 6
    with pytest.raises(ArchiveError, match="readonly"):
        reader.asked([Candidate(6, weights_recipe(0.1, 0.1))], 1)


def test_another_process_reads_the_archive_without_opening_it_for_writing(tmp_path: Path) -> None:
    filled(tmp_path / "a.sqlite").close()
    imports = "import sys; from pathlib import Path; from evomerge.archive import Archive"
    code = f"{imports}; print(len(Archive.read(Path(sys.argv[1])).records()))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.sqlite")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "4"


def test_an_archive_of_a_newer_schema_is_refused_with_what_to_do(tmp_path: Path) -> None:
    archive = filled(tmp_path / "a.sqlite")
    archive.note("schema_version", "99")
    with pytest.raises(ArchiveError, match=r"found 99; a newer evomerge wrote it"):
        Archive.open(tmp_path / "a.sqlite")


@pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough to be looked at" * 50])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.sqlite").write_bytes(content)
    with pytest.raises(ArchiveError, match="archive"):
        Archive.open(tmp_path / "a.sqlite")


def test_a_missing_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="found none"):
        Archive.read(tmp_path / "a.sqlite")


def test_a_full_disk_loses_nothing_that_was_told(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    archive = filled(path)
    pages = sqlite3.connect(path).execute("PRAGMA page_count").fetchone()[0]
    # SQLite's own page limit gives the same SQLITE_FULL that a full disk gives.
    archive._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(ArchiveError, match=r"full.*everything told before is saved"):
        archive.asked([Candidate(number, weights_recipe(0.1, number / 500)) for number in range(5, 500)], 500)
    archive.close()
    assert [r.number for r in Archive.open(path).records()] == [0, 1, 2, 3]


def test_an_item_set_is_stored_once(tmp_path: Path) -> None:
    filled(tmp_path / "a.sqlite").close()
    assert sqlite3.connect(tmp_path / "a.sqlite").execute("SELECT count(*) FROM item_sets").fetchone() == (1,)


@given(arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e9, 1e9) | st.sampled_from([0.0, 1.0])))
def test_packed_scores_are_lossless(values: np.ndarray) -> None:
    assert unpack_scores(pack_scores(values), len(values)).tobytes() == (values + 0.0).tobytes()


def test_accuracies_take_one_bit_each() -> None:
    assert len(pack_scores(np.ones(800))) == 101


def test_scores_must_be_finite() -> None:
    with pytest.raises(ValueError, match="finite scores, found nan at item 'b'"):
        ItemScores(("a", "b"), np.array([0.0, np.nan]))


def test_the_estimate_of_a_stopped_candidate_comes_back_and_older_ones_are_still_read() -> None:
    objectives = (
        ObjectiveEstimate("objectives", 1 / 3, 0.1, 4, "estimated"),
        ObjectiveEstimate("stopped", 0.5, 0.2, 4),
    )
    for stopped in (None, Stopped("worse", 7, 8, 1 / 7), Stopped("rung", None, 4, 1.25)):
        estimate = Estimate("search", objectives, stopped)
        assert unpack_estimate(pack_estimate(estimate), "search") == estimate
    old = '{"sums": [0.25, 0.1, 4], "words": [0.5, 0.2, 4, "estimated"]}'
    assert unpack_estimate(old, "search").stopped is None
    assert pack_estimate(unpack_estimate(old, "search")) == old


def test_objectives_weigh_what_the_campaign_says_also_in_an_archive_of_an_older_evomerge(tmp_path: Path) -> None:
    said = "objectives: [{name: words, tasks: [w.jsonl], weight: 0.0}, {name: sums, weight: 3}, 7]\n"
    archive = filled(tmp_path / "a.sqlite", campaign=said)
    for reader in (archive, Archive.read(tmp_path / "a.sqlite")):
        told = [record.estimate for record in reader.records() if record.estimate is not None]
        of_history = [r.estimate for e in reader.history() if isinstance(e, Told) for r in e.records if r.estimate]
        assert told
        for estimate in [*told, *of_history]:
            values = {o.name: o.value for o in estimate.objectives}
            weights = {"words": 0.0, "sums": 3.0}
            total = sum(weights.get(name, 1.0) for name in values)
            assert estimate.mean == pytest.approx(sum(weights.get(n, 1.0) * v for n, v in values.items()) / total)


@pytest.mark.parametrize("said", ["objectives: 3", "objectives: [{name: sums, weight: .nan}]", "{", "- 1"])
def test_what_is_no_weight_counts_as_one(said: str) -> None:
    assert set(objective_roles(said).values()) <= {Role()}


def test_an_archive_that_an_older_evomerge_wrote_is_opened(tmp_path: Path) -> None:
    archive = filled(tmp_path / "a.sqlite")
    archive.note("schema_version", "1")
    archive.close()
    assert len(list(Archive.open(tmp_path / "a.sqlite").history())) == 4
