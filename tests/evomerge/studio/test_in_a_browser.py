"""The studio in a real browser. Skipped where there is no Chromium, or `web/node_modules` is not installed."""

import contextlib
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.candidate import Candidate
from evomerge.studio.runs import Runs
from tests.evomerge.archives import make_archive, merged, scored, verification
from tests.evomerge.results.report.test_in_a_browser import CHROMIUM, hostile_archive
from tests.evomerge.studio.served import Studio, studio
from tests.evomerge.studio.test_control import COMMANDS, left_running

WEB = Path(__file__).parents[3] / "web"
NODE = shutil.which("node")
READY = NODE is not None and CHROMIUM is not None and (WEB / "node_modules" / "playwright-core").is_dir()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not READY, reason="no node, playwright-core or Chromium here")]


def looked_at(script: str, served: Studio, run: str, *more: object) -> Any:
    command = [str(NODE), f"tests/{script}", str(CHROMIUM), served.address, run, *map(str, more)]
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_every_page_at_both_widths_and_in_both_colours_is_whole_and_accessible(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with contextlib.closing(make_archive(tmp_path / "run" / "archive.sqlite", objectives=3, failures=(3, 9))) as made:
        made.note("verification", verification(objectives=3).to_json())
    (run,) = (shelf.key for shelf in Runs([tmp_path]).shelves())
    with studio([tmp_path], commands=COMMANDS) as served:
        found = looked_at("pages.mjs", served, run)
    assert found["troubles"] == []
    assert found["outside"] == []
    assert found["violations"] == []
    assert found["sideways"] == []
    assert found["walked"][0] != found["walked"][1]
    assert 0 < found["selected"] < 63
    assert f"of {found['selected']}" in found["kept"]


def test_hostile_names_are_text_on_every_page(tmp_path: Path) -> None:
    hostile_archive(tmp_path / "archive.sqlite").close()
    with studio([tmp_path]) as served:
        found = looked_at("pages.mjs", served, served.key())
    assert found["troubles"] == []
    assert found["outside"] == []
    assert all(title == "plain · evomerge studio" for title in found["titles"])


def test_a_page_follows_a_search_that_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "archive.sqlite"
    make_archive(path, proposals=4).close()

    def search() -> None:
        with contextlib.closing(Archive.open(path)) as archive:
            rng = np.random.default_rng(1)
            for number in range(9, 15):
                candidate = Candidate(number, merged(rng), None, number - 5, rng.random(4))
                archive.asked([candidate], 1)
                archive.told([scored(rng, candidate, [0.6, 0.6])])
                time.sleep(1.5)

    with studio([tmp_path]) as served:
        thread = threading.Timer(3.0, search)
        thread.start()
        found = looked_at("live.mjs", served, served.key(), 15)
        thread.join()
    assert found["troubles"] == []
    assert found["first"] < 15
    assert found["last"] == 15
    assert found["loads"] == 1


def test_a_search_is_written_started_watched_and_exported_from_the_page(
    campaign_file: Callable[..., Path], request: pytest.FixtureRequest
) -> None:
    root = campaign_file().parent
    request.addfinalizer(lambda: left_running(root))
    with studio([root], commands=COMMANDS) as served:
        found = looked_at("control.mjs", served, "campaign.yaml", 9)
    assert found["troubles"] == []
    assert "no other command that writes to it" in found["refused"]
    assert found["still"] == 1
    assert found["told"] >= 9
    assert found["loads"] == 1
    assert list((root / "exports" / "best").glob("*.safetensors"))
