"""The studio in a real browser. Skipped where there is no Chromium, or `web/node_modules` is not installed."""

import contextlib
import json
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.candidate import Candidate
from tests.evomerge.archives import make_archive, merged, scored, verification
from tests.evomerge.results.report.test_in_a_browser import CHROMIUM, hostile_archive
from tests.evomerge.studio.served import Studio, studio

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
    with contextlib.closing(make_archive(tmp_path / "archive.sqlite", objectives=3, failures=(3, 9))) as archive:
        archive.note("verification", verification(objectives=3).to_json())
    with studio([tmp_path]) as served:
        found = looked_at("pages.mjs", served, served.key())
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
