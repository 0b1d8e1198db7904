import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.conftest import Family

# Hides what extras bring, then runs the command line as the installed program does.
PROGRAM = """
import sys
HIDDEN = {"ray", "lm_eval", "datasets", "matplotlib", "pandas", "starlette", "uvicorn"}
class Hiding:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in HIDDEN else self.finder.find_spec(name, path, target)
sys.meta_path[:] = map(Hiding, sys.meta_path)
from evomerge.cli.app import main
main()
"""


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


def bare(*arguments: object) -> Done:
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert "Traceback" not in done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def test_without_any_extra_checkpoints_are_merged(family: Family, tmp_path: Path) -> None:
    models = [{"model": str(path), "parameters": {"weight": 0.5}} for path in family.experts.values()]
    recipe = {"merge_method": "linear", "dtype": "float32", "models": models}
    (tmp_path / "recipe.yml").write_text(yaml.safe_dump(recipe))
    assert bare("merge", tmp_path / "recipe.yml", tmp_path / "out").code == 0
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_without_any_extra_a_search_runs_in_process_and_has_its_report(
    campaign_file: Callable[..., Path], tmp_path: Path
) -> None:
    done = bare("run", campaign_file(budget={"evaluations": 6}), "--run-dir", tmp_path / "run")
    assert done.code == 0, done.err
    assert bare("report", tmp_path / "run").code == 0
    assert (tmp_path / "run" / "report.html").is_file()
    assert not list((tmp_path / "run").rglob("*.png"))


def test_what_needs_an_extra_says_so_in_one_sentence(campaign_file: Callable[..., Path], tmp_path: Path) -> None:
    campaign = campaign_file()
    with_lm_eval = campaign_file(objectives=[{"name": "arc", "tasks": ["arc_easy"]}]).rename(tmp_path / "arc.yaml")
    campaign_file()
    wanted = [
        (("run", campaign, "--run-dir", tmp_path / "run", "--workers", 2), "ray", "ray"),
        (("run", with_lm_eval, "--run-dir", tmp_path / "other"), "lm_eval", "lm-eval"),
        (("eval", tmp_path, "--tasks", "arc_easy"), "lm_eval", "lm-eval"),
        (("lm-eval", "ls", "tasks"), "lm_eval", "lm-eval"),
    ]
    for arguments, library, extra in wanted:
        done = bare(*arguments)
        sentence = f"{library} is not installed and this needs it: pip install 'evomerge[{extra}]'\n"
        assert (done.code, done.err.endswith(sentence)) == (1, True), done.err


@pytest.mark.slow
def test_a_wheel_runs_from_an_empty_folder(family: Family, tmp_path: Path) -> None:
    """The fresh environment borrows this one's libraries through a .pth file, evomerge itself excepted."""
    root = Path(__file__).parents[2]
    source, empty, fresh = tmp_path / "source", tmp_path / "empty", tmp_path / "fresh"
    names = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, names):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((root / name).read_bytes())
    empty.mkdir()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    pip = [sys.executable, "-m", "pip", "wheel", "-q", str(source), "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", str(tmp_path)], env=environment, check=True)
    (wheel,) = tmp_path.glob("evomerge-*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(fresh)], check=True)
    (site,) = fresh.glob("lib/python*/site-packages")
    python = fresh / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "-q", "--no-deps", str(wheel)], env=environment, check=True)
    # A plain path in a .pth file, whose own .pth files (an editable evomerge) are not read.
    (site / "borrowed.pth").write_text(os.path.join(sys.prefix, *site.relative_to(fresh).parts) + "\n")

    def call(*arguments: object) -> str:
        command = [str(fresh / "bin" / "evomerge"), *map(str, arguments)]
        return subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, check=True).stdout

    where = [str(python), "-c", "import evomerge; print(evomerge.__file__)"]
    found = subprocess.run(where, cwd=empty, env=environment, capture_output=True, text=True, check=True).stdout
    assert str(fresh) in found
    assert "Usage" in call("--help")
    assert "torch" in call("doctor")
    models = [{"model": str(path), "parameters": {"weight": 0.5}} for path in family.experts.values()]
    (empty / "recipe.yml").write_text(yaml.safe_dump({"merge_method": "linear", "dtype": "float32", "models": models}))
    call("merge", "recipe.yml", "out")
    assert (empty / "out" / "model.safetensors").is_file()


def test_without_the_studio_its_command_says_what_to_install(tmp_path: Path) -> None:
    done = bare("studio", tmp_path)
    assert done.code == 2
    assert "pip install 'evomerge[studio]'" in done.err
