"""Each tracker in its offline mode, read back by its own library; those that are not installed are left out."""

import csv
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import evomerge as em
from evomerge.tracking import TrackingError
from evomerge.tracking import following as following_module
from tests.evomerge.api.conftest import arguments, searched  # noqa: F401

pytestmark = pytest.mark.filterwarnings("ignore")  # of trackers and what they need


@pytest.fixture
def run(searched: Callable[..., em.Run]) -> em.Run:  # noqa: F811
    return searched()


def means(run: em.Run) -> list[float]:
    return [row.estimate.mean for row in run.candidates if row.estimate is not None]


def scalars(directory: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(directory), size_guidance={"tensors": 0, "scalars": 0})
    found.Reload()
    return found


def test_tensorboard_has_what_a_search_told_and_a_resumed_one_goes_on(
    searched: Callable[..., em.Run],  # noqa: F811
    tmp_path: Path,
) -> None:
    pytest.importorskip("tensorboard")
    run = searched(track="tensorboard")
    events = scalars(run.directory / "tensorboard")
    assert [one.step for one in events.Scalars("mean")] == list(range(1, 9))
    assert [one.value for one in events.Scalars("mean")] == pytest.approx(means(run))
    tags = events.Tags()["scalars"]
    assert {"objective/sums", "stderr/words", "hypervolume", "best mean", "seconds"} <= set(tags)
    assert any(tag.startswith("gene/") for tag in tags)
    assert {"front/text_summary", "campaign/text_summary"} <= set(events.Tags()["tensors"])
    run.resume(10)
    assert [one.step for one in scalars(run.directory / "tensorboard").Scalars("mean")] == list(range(1, 11))
    for file in (run.directory / "tensorboard").iterdir():
        assert str(tmp_path).encode() not in file.read_bytes()


def test_mlflow_keeps_a_run_of_before_in_sqlite_once(run: em.Run) -> None:
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    from mlflow import MlflowClient

    run.track("mlflow")
    run.track("mlflow")
    client = MlflowClient(tracking_uri=f"sqlite:///{run.directory / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("evomerge")
    assert experiment is not None
    [found] = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(found.info.run_id, "mean")
    assert [one.value for one in sorted(history, key=lambda one: one.step)] == pytest.approx(means(run))
    assert found.data.params["optimiser.kind"] == "random"
    [front] = (run.directory / "mlflow").rglob("front.csv")
    assert len(list(csv.reader(front.open()))) == 1 + len(run.front)


def wandb_records(data: bytes) -> Iterator[bytes]:
    """Read LevelDB's log format: after a header records of (checksum, length, type), parts of them where blocks end."""
    at, whole, block = 7, b"", 32768
    while at + 7 <= len(data):
        if block - at % block < 7:
            at += block - at % block
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole, at = whole + data[at + 7 : at + 7 + length], at + 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield whole
            whole = b""


def test_trackio_keeps_every_step(run: em.Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("trackio")
    program = """
import sys
import evomerge as em
em.load(sys.argv[1]).track("trackio")
import trackio
from trackio.sqlite_storage import SQLiteStorage
[name] = SQLiteStorage.get_runs("evomerge")
print("MEANS", [one["mean"] for one in SQLiteStorage.get_logs("evomerge", name) if "mean" in one], "MEANS")
"""
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio")}
    command = [sys.executable, "-W", "ignore", "-c", program, str(run.directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.split("MEANS")[1]) == pytest.approx(means(run))


def test_wandb_offline_has_every_step_and_nothing_of_the_machine(
    run: em.Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2 as proto

    monkeypatch.setenv("WANDB_MODE", "offline")
    run.track("wandb")
    [file] = run.directory.rglob("*.wandb")
    steps = []
    for data in wandb_records(file.read_bytes()):
        record = proto.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            steps.append({item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item})
    assert [one["mean"] for one in steps if "mean" in one] == pytest.approx(means(run))
    assert str(tmp_path).encode() not in file.read_bytes()


def test_wandb_without_a_login_asks_for_one_in_a_sentence(run: em.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("HOME", str(run.directory))
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(TrackingError, match="wandb login"):
        run.track("wandb")


class Broken:
    """A tracker of somebody else that is never there."""

    def __init__(self, subject: object) -> None:
        raise OSError("no route to host")


def test_a_tracker_that_fails_is_said_once_and_the_search_goes_on(
    searched: Callable[..., em.Run],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following_module, "opened_tracker", lambda name, subject: Broken(subject))
    notes: list[str] = []
    run = searched(
        track=["tensorboard"], callbacks=lambda event: isinstance(event, em.Noted) and notes.append(event.text)
    )
    assert run.n_candidates == 8
    [line] = [note for note in notes if note.startswith("track:")]
    assert line == "track: tensorboard failed and is left out (no route to host)"


def test_a_tracker_that_is_not_installed_is_one_sentence(run: em.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evomerge.errors.is_installed", lambda library: False)
    with pytest.raises(TrackingError, match=r"pip install 'evomerge\[trackio\]'"):
        run.track("trackio")


def test_an_unknown_tracker_is_refused_with_those_that_there_are(run: em.Run) -> None:
    with pytest.raises(em.ConfigError, match="one of wandb, mlflow, tensorboard, trackio"):
        run.track("comet")
