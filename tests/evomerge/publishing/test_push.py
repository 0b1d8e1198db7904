"""What is uploaded, against a server that speaks the hub's protocol as far as a commit needs it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

import evomerge as em
from evomerge.publishing import PushError, upload_of
from tests.evomerge.api.conftest import arguments  # noqa: F401


class Hub(BaseHTTPRequestHandler):
    status = 200
    commit: ClassVar[dict[str, bytes]]
    made: ClassVar[list[dict[str, Any]]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = f"http://{self.headers['Host']}"
        answer: dict[str, Any] = {}
        if self.path == "/api/repos/create":
            self.made.append(json.loads(body))
            answer = {"url": f"{url}/me/merge", "id": "me/merge"}
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            answer = {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.commit[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            answer = {"commitUrl": f"{url}/me/merge/commit/abc", "commitOid": "abc", "success": True}
        data = json.dumps(answer).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[tuple[type[Hub], str]]:
    handler = type("OneHub", (Hub,), {"commit": {}, "made": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield handler, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def home(arguments: dict[str, Any], tmp_path: Path) -> em.Run:  # noqa: F811
    """A run whose parents and tasks lie in somebody's home directory."""
    ada = tmp_path / "home" / "ada lovelace" / "models"
    ada.mkdir(parents=True)
    parents = []
    for path in arguments["parents"]:
        (ada / path.name).symlink_to(path)
        parents.append(ada / path.name)
    (ada / "sums.jsonl").write_bytes((tmp_path / "sums.jsonl").read_bytes())
    (ada / "base").symlink_to(arguments["base"])
    objectives = {"sums": str(ada / "sums.jsonl"), "words": ["words.jsonl"]}
    arguments |= {"parents": parents, "base": ada / "base", "objectives": objectives, "evaluations": 6}
    return em.search(**arguments)


def pushed(run: em.Run, url: str, *options: str, token: str = "hf_x") -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "HF_ENDPOINT": url,
        "HF_TOKEN": token,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
    }
    command = [sys.executable, "-m", "evomerge.cli", "push", str(run.directory), "--repo", "me/merge", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_without_yes_nothing_is_sent_and_with_it_all_that_was_listed_without_a_local_path(
    home: em.Run, hub: tuple[type[Hub], str]
) -> None:
    handler, url = hub
    listed = pushed(home, url, "--pick", "best", "--private")
    assert (listed.returncode, handler.made, handler.commit) == (0, [], {}), listed.stderr
    assert "(private)" in listed.stdout
    done = pushed(home, url, "--pick", "best", "--private", "--yes")
    assert done.returncode == 0, done.stderr
    assert "/me/merge/commit/abc" in done.stdout
    assert '"private"' in json.dumps(handler.made[0])
    assert {"README.md", "recipe.json", "config.json", "model.safetensors"} <= handler.commit.keys()
    assert all(name in listed.stdout for name in handler.commit)
    places = [*home.directory.glob("exports/*/recipe.json")]
    assert all("lovelace" in place.read_text() for place in places)  # on this machine it says where they are
    for name, content in handler.commit.items():
        assert b"lovelace" not in content, name
        assert b"/tmp/" not in content, name
    card = handler.commit["README.md"].decode()
    assert 'from_pretrained("me/merge"' in card
    assert yaml.safe_load(card.split("---\n")[1])["tags"] == ["merge", "mergekit", "evomerge"]


def test_neither_card_nor_report_names_a_home(home: em.Run, tmp_path: Path) -> None:
    export = home.export("best", tmp_path / "out")
    page = home.report()
    for file in (export / "README.md", page, *(page.parent / "figures").glob("*.png")):
        content = file.read_bytes()
        assert b"lovelace" not in content, file
        assert str(tmp_path).encode() not in content, file


@pytest.mark.parametrize(
    ("status", "says"), [(401, "does not know the token (401)"), (403, "may not write to me/merge (403)")]
)
def test_what_the_hub_refuses_is_one_sentence(
    status: int, says: str, exported: Path, hub: tuple[type[Hub], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler, url = hub
    handler.status = status
    done = pushed_from(exported, url)
    assert done.startswith("PushError")
    assert says in done


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    return tmp_path / "model"


def pushed_from(exported: Path, url: str, token: str = "hf_x") -> str:
    program = """
import sys
from pathlib import Path
from evomerge.publishing import push, upload_of
try:
    print(push(upload_of(Path(sys.argv[1]), "me/merge")))
except Exception as error:
    print(type(error).__name__, error)
"""
    environment = {**os.environ, "HF_ENDPOINT": url, "HF_TOKEN": token, "HF_HUB_OFFLINE": "0", "HF_HOME": str(exported)}
    command = [sys.executable, "-c", program, str(exported)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.strip()


def test_without_network_or_token_a_sentence_says_so(exported: Path) -> None:
    assert "the hub cannot be reached" in pushed_from(exported, "http://127.0.0.1:9")
    assert "hf auth login" in pushed_from(exported, "http://127.0.0.1:9", token="")


def test_what_is_no_repository_and_no_export_is_refused(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(PushError, match="expected OWNER/NAME, found 'merge'"):
        upload_of(exported, "merge")
    with pytest.raises(PushError, match=r"found no config\.json"):
        upload_of(tmp_path, "me/merge")
