"""The wheel alone, in an empty folder: what it needs besides code is in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Family

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_wheel_works_without_a_checkout(family: Family, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    source = tmp_path / "source"
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", "HEAD"], capture_output=True, check=True)
    source.mkdir()
    subprocess.run(["tar", "-x", "-C", str(source)], input=archive.stdout, check=True)
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(tmp_path / "wheels"), str(source)], check=True)
    [wheel] = (tmp_path / "wheels").glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(tmp_path / "site"), str(wheel)], check=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}

    def evomerge(*arguments: object) -> str:
        program = "import evomerge, sys; sys.stderr.write(evomerge.__file__); from evomerge.cli.app import main; main()"
        command = [sys.executable, "-c", program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=empty)
        assert done.stderr.startswith(str(tmp_path / "site"))
        return done.stdout

    assert "--port" in evomerge("studio", "--help")
    evomerge("init", *family.experts.values(), "--base", family.base, "--out", "mine.yaml")
    assert (empty / "mine.yaml").is_file()
    built = {path.name for path in (tmp_path / "site" / "evomerge" / "results" / "pages" / "built").iterdir()}
    assert {"studio.js", "studio.css"} <= built
    assert (tmp_path / "site" / "evomerge" / "results" / "card.md.jinja").is_file()
    assert (tmp_path / "site" / "evomerge" / "campaign.schema.json").is_file()
