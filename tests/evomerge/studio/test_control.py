"""A studio that may write campaigns and start commands: what it does, and whom and what it refuses."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import evomerge
from evomerge.campaign.run_directory import RunDirectory
from evomerge.studio.jobs import Jobs
from tests.evomerge.archives import make_archive
from tests.evomerge.studio.served import Answer, Studio, studio

COMMANDS = frozenset({"run", "plan", "verify", "export"})


class Controlled:
    """A studio's control as a page uses it."""

    def __init__(self, served: Studio, root: Path) -> None:
        self.served, self.root = served, root
        self.bearer = {"Authorization": f"Bearer {served.token}"}
        self.token = str(self.get("/api/control")["token"])

    def get(self, path: str) -> Any:
        answer = self.served.ask(path, **self.bearer)
        assert answer.status == 200, answer.body[:300]
        return answer.document

    def send(self, path: str, document: object, method: str = "POST", **headers: str) -> Answer:
        own = {"Content_Type": "application/json", "X_Evomerge_Studio": "1", "X_Evomerge_Control": self.token}
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.served.ask(f"/api/control/{path}", method, body, **{**self.bearer, **own, **headers})

    def until(self, true: Callable[[], bool]) -> None:
        for _ in range(1200):
            if true():
                return
            time.sleep(0.1)
        raise AssertionError(self.get("/api/control")["jobs"])

    def job(self, number: int) -> Any:
        return self.get(f"/api/control/jobs/{number}")

    @property
    def key(self) -> str:
        return str(self.get("/api/runs")[0]["key"])


@contextlib.contextmanager
def controlled(root: Path) -> Iterator[Controlled]:
    with studio([root], commands=COMMANDS) as served:
        yield Controlled(served, root)


def left_running(root: Path) -> None:
    jobs = Jobs(root)
    for job in filter(jobs.is_going, jobs.all()):
        os.kill(job.pid, signal.SIGKILL)


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Controlled]:
    root = tmp_path / "here"
    (root / "runs" / "one").mkdir(parents=True)
    make_archive(root / "runs" / "one" / "archive.sqlite", proposals=4).close()
    with controlled(root) as found:
        yield found


def test_a_search_started_on_the_page_is_stopped_as_ctrl_c_does_and_extended(
    tmp_path: Path, campaign_file: Callable[..., Path], request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(lambda: left_running(tmp_path))
    text = campaign_file(budget={"evaluations": 200_000}).read_text()
    with controlled(tmp_path) as control:
        assert control.send("campaign", {"file": "mine.yaml", "text": text}, "PUT").document["problems"] == []
        begun = control.send("jobs", {"action": "start", "file": "mine.yaml"}).document
        assert begun["arguments"] == ["run", "mine.yaml", "--run-dir", "runs/tiny"]
        assert control.send("jobs", {"action": "start", "file": "mine.yaml"}).status == 409
        told = tmp_path / "runs" / "tiny"
        control.until(lambda: bool(control.get("/api/runs")) and evomerge.load(told).n_candidates > 8)
    with controlled(tmp_path) as control:  # another studio: the search goes on, and can be stopped
        assert control.job(1)["going"]
        assert control.send("jobs/1/stop", {}).status == 200
        control.until(lambda: not control.job(1)["going"])
        done = evomerge.load(told).n_candidates
        assert "everything is saved" in control.job(1)["output"]
        more = control.send("jobs", {"action": "extend", "run": control.key, "evaluations": done + 2})
        assert more.document["arguments"] == ["run", "runs/tiny", "--evaluations", str(done + 2)]
        control.until(lambda: not control.job(2)["going"])
        assert control.job(2)["code"] == 0
    assert evomerge.load(told).n_candidates == done + 2


def test_a_form_and_a_text_are_one_file_and_errors_have_key_and_line(control: Controlled) -> None:
    text = control.get("/api/control/campaign?file=new.yaml")["text"]
    found = control.send("look", {"file": "new.yaml", "text": text, "set": {"budget.evaluations": 12}}).document
    assert found["fields"]["budget.evaluations"] == 12
    assert "evaluations: 12  # candidates to score" in found["text"]
    wrong = control.send("look", {"file": "new.yaml", "text": "parents: [a, b]\nsed: 1\n"}).document["problems"]
    assert {(p["key"], p["line"]) for p in wrong} >= {("sed", 2)}
    assert not (control.root / "new.yaml").exists()


def test_nothing_is_started_or_written_without_the_address_token_and_the_page_s_own(control: Controlled) -> None:
    wish = {"action": "verify", "run": control.key}
    assert control.send("jobs", wish, X_Evomerge_Control="").status == 403
    assert control.send("jobs", wish, X_Evomerge_Control="another").status == 403
    assert control.send("jobs", wish, X_Evomerge_Studio="").status == 403
    assert control.send("jobs", wish, Authorization="Bearer another").status == 401
    assert control.send("jobs", wish, Origin="http://evil.example").status == 403
    assert control.send("jobs", wish, Host="evil.example").status == 421
    assert control.send("jobs", wish, Content_Type="text/plain").status == 415
    assert control.served.ask("/api/control").status == 401
    assert control.get("/api/control")["jobs"] == []


def test_a_studio_that_only_looks_starts_nothing(served: Studio) -> None:
    assert served.get("/api/control") == {"on": False}
    own = {"Content_Type": "application/json", "X_Evomerge_Studio": "1"}
    for path, method in (("jobs", "POST"), ("jobs/1/stop", "POST"), ("campaign", "PUT"), ("look", "POST")):
        assert served.ask(f"/api/control/{path}", method, b"{}", **own).status in (404, 405)


@pytest.mark.parametrize(
    "file",
    [
        "../out.yaml",
        "/tmp/out.yaml",
        "a/../../out.yaml",
        ".hidden/a.yaml",
        "away/out.yaml",
        "-a.yaml",
        "a\\b.yaml",
        "runs/one/campaign.yaml",
        "bashrc",
        "",
        "a\n.yaml",
        "~/a.yaml",
    ],
)
def test_no_campaign_lies_outside_of_the_directory_or_inside_a_run(control: Controlled, file: str) -> None:
    (control.root / "away").symlink_to(control.root.parent)
    for path, method in (("campaign", "PUT"), ("look", "POST")):
        assert control.send(path, {"file": file, "text": "seed: 0\n"}, method).status == 422
    assert control.send("jobs", {"action": "start", "file": file}).status == 422
    assert not (control.root.parent / "out.yaml").exists()


@pytest.mark.parametrize(
    "more",
    [
        {"action": "export", "out": "../out"},
        {"action": "export", "out": "--help"},
        {"action": "export", "out": "x", "pick": "--trust-tasks"},
        {"action": "extend", "evaluations": 0},
        {"action": "extend", "evaluations": "5"},
        {"action": "shell"},
        {"action": "verify", "arguments": ["--final"]},
    ],
)
def test_only_what_was_checked_stands_in_a_command(control: Controlled, more: dict[str, object]) -> None:
    assert control.send("jobs", {"run": control.key, **more}).status == 422
    assert control.send("jobs", {"action": "verify", "run": "../../etc"}).status == 404
    assert control.send("jobs", {"action": "push", "run": control.key, "repo": "a/b"}).status == 404
    assert control.get("/api/control")["jobs"] == []


def test_a_run_that_another_process_writes_to_is_left_to_it(control: Controlled) -> None:
    with RunDirectory(control.root / "runs" / "one").locked():
        for action in ("resume", "extend", "verify"):
            answer = control.send("jobs", {"action": action, "run": control.key})
            assert (answer.status, "no process writes to" in answer.document["error"]) == (409, True)
    assert control.get("/api/control")["jobs"] == []


def test_a_campaign_may_not_be_large_nor_something_else(control: Controlled) -> None:
    for body in ({"file": "a.yaml", "text": "x" * 50_000}, {"file": "a.yaml", "text": 1}, b"{", b"[]", {"text": "a"}):
        assert control.send("campaign", body, "PUT").status == 422
    assert control.send("campaign", {"file": "a.yaml", "text": "x" * 100_000}, "PUT").status == 413
    bomb = "a: &a [x,x]\n" + "\n".join(
        f"{b}: &{b} [*{a},*{a}]" for a, b in zip("abcdefghij", "bcdefghijk", strict=True)
    )
    assert control.send("look", {"file": "a.yaml", "text": bomb}).document["problems"]
    assert not (control.root / "a.yaml").exists()


def test_control_is_of_one_directory(tmp_path: Path) -> None:
    from evomerge.studio.errors import StudioError
    from evomerge.studio.serving import Place, listen

    with pytest.raises(StudioError, match="expected one directory"):
        listen([tmp_path, tmp_path], Place(port=0, commands=COMMANDS))
    make_archive(tmp_path / "archive.sqlite", proposals=1).close()
    with pytest.raises(StudioError, match="found the run"):
        listen([tmp_path], Place(port=0, commands=COMMANDS))


def test_the_command_gives_pages_every_command_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from evomerge.cli.app import app
    from evomerge.studio import serving

    told = []

    def listen(runs: object, place: serving.Place) -> serving.Listening:
        told.append(place)
        raise SystemExit

    monkeypatch.setattr(serving, "listen", listen)
    for more in (["--control"], []):
        CliRunner().invoke(app, ["studio", str(tmp_path), *more])
    assert told[0].commands >= COMMANDS
    assert not told[1].commands
