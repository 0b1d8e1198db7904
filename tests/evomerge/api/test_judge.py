"""The example of a task that another model judges, with a judge that is a small server."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

import evomerge as em
from tests.conftest import Family

EXAMPLE = Path(__file__).parents[3] / "examples" / "judge" / "judge.py"


class Judge(BaseHTTPRequestHandler):
    """Is busy once, then says seven of everything."""

    asked: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append({"path": self.path, "key": self.headers["Authorization"], **body})
        self.send_response(429 if len(self.asked) == 1 else 200)
        self.end_headers()
        self.wfile.write(json.dumps({"choices": [{"message": {"content": "7/10"}}]}).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    server = HTTPServer(("127.0.0.1", 0), Judge)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("JUDGE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    monkeypatch.setenv("JUDGE_MODEL", "small")
    monkeypatch.setenv("JUDGE_KEY", "secret")
    Judge.asked.clear()
    yield Judge.asked
    server.shutdown()
    server.server_close()


def test_a_judge_scores_answers_and_is_asked_again_where_it_was_busy(
    judge: list[dict[str, Any]], family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(EXAMPLE, tmp_path / "judge.py")
    monkeypatch.chdir(tmp_path)
    assert em.evaluate(family.base, "python:judge.py:helpful").value("judge.helpful") == pytest.approx(6 / 9)
    assert len(judge) == 4
    assert {(one["path"], one["key"], one["model"]) for one in judge} == {
        ("/v1/chat/completions", "Bearer secret", "small")
    }
    assert "Question: Why does it rain?" in judge[0]["messages"][1]["content"]
