"""A studio that really listens, asked with nothing but the standard library."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from evomerge.studio.serving import Place, listen


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Studio:
    address: str

    @property
    def port(self) -> int:
        return urlsplit(self.address).port or 0

    @property
    def token(self) -> str:
        return urlsplit(self.address).query.removeprefix("token=")

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())

    def get(self, path: str) -> Any:
        answer = self.ask(path)
        assert answer.status == 200, answer.body[:300]
        return answer.document

    def put(self, path: str, body: bytes, **headers: str) -> Answer:
        own = {"Content_Type": "application/json", "X_Evomerge_Studio": "1"}
        return self.ask(path, "PUT", body, **{**own, **headers})

    def key(self, name: str = "") -> str:
        return next(str(run["key"]) for run in self.get("/api/runs") if run["key"].startswith(name))


@contextlib.contextmanager
def studio(runs: Sequence[Path], **place: Any) -> Iterator[Studio]:
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    listening = listen(runs, Place(port=0, **place))
    thread = threading.Thread(target=listening.run, daemon=True)
    thread.start()
    while not listening.server.started:
        time.sleep(0.01)
    yield Studio(listening.address)
    listening.server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()
