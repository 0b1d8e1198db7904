"""Code that models write runs in bubblewrap: it counts, and reaches nothing."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fitness.errors import FitnessError
from fitness.tasks.model_code import Limits, SandboxedFunction, require_sandbox
from fitness.tasks.sources import TaskContext, load_tasks
from tests.fitness.tasks.test_lm_eval_tasks import TASKS, write_task

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")

METRICS = """
    def right(references, predictions):
        space = {}
        exec(predictions[0], space)
        return {"right@1": float(space["answer"] == references[0])}

    def value(references, predictions):
        space = {}
        exec(predictions[0], space)
        return space["answer"]
"""
LIMITS = Limits(seconds=20.0, memory=256 << 20)


def function_of(folder: Path, name: str) -> Callable[..., Any]:
    path = folder / "utils.py"
    path.write_text(textwrap.dedent(METRICS))
    spec = importlib.util.spec_from_file_location("utils", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., Any] = getattr(module, name)
    return found


@pytest.fixture(scope="module")
def value(tmp_path_factory: pytest.TempPathFactory) -> SandboxedFunction:
    folder = tmp_path_factory.mktemp("task")
    return SandboxedFunction(function_of(folder, "value"), "code", zero="none", limits=LIMITS)


def run(value: SandboxedFunction, *lines: str) -> Any:
    return value(references=[0], predictions=["\n".join(lines)])


def test_a_function_has_its_own_values_and_what_it_prints_goes_nowhere(value: SandboxedFunction) -> None:
    assert run(value, "print('{}')", "answer = [1, 'ä\\n', None]") == [1, "ä\n", None]


def test_an_error_of_the_function_is_told(value: SandboxedFunction) -> None:
    with pytest.raises(FitnessError, match="value raised in the sandbox: ZeroDivisionError"):
        run(value, "1 / 0")
    assert run(value, "answer = 2") == 2


def test_there_is_no_network(value: SandboxedFunction) -> None:
    found = run(
        value,
        "import socket",
        "try: socket.create_connection(('127.0.0.1', 22), 2)",
        "except OSError as error: answer = str(error)",
        "answer += str(len(socket.if_nameindex()))",
    )
    assert found.endswith("1")  # a loopback of its own
    assert "refused" in found or "unreachable" in found


def test_files_of_the_user_cannot_be_seen_and_nothing_can_be_changed(value: SandboxedFunction, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    places = [str(tmp_path / "secret"), str(Path.home() / ".bashrc"), "/etc/passwd"]
    assert run(value, "import os", f"answer = [p for p in {places} if os.path.exists(p)]") == []
    for place in (f"{sys.prefix}/x", "/usr/x", "/x"):
        assert "Error" in run(
            value, f"try: open({place!r}, 'w')", "except OSError as error: answer = type(error).__name__"
        )


def test_what_one_answer_leaves_the_next_does_not_find(value: SandboxedFunction) -> None:
    run(value, "import json", "json.left = 1", "answer = 0")
    assert run(value, "import json", "answer = hasattr(json, 'left')") is False


@pytest.mark.parametrize(
    "lines",
    [
        ["answer = len(bytearray(1 << 40))"],
        ["import os", "os._exit(0)"],
        ["import os, signal", "os.kill(os.getppid(), signal.SIGKILL)", "while True: pass"],
        ["import os", "os.write(3, b'no json')", "for fd in range(3, 9): os.write(fd, b'no json\\n')"],
    ],
)
def test_code_that_ends_its_process_has_no_value_and_the_next_has(value: SandboxedFunction, lines: list[str]) -> None:
    try:
        found = run(value, *lines)
    except FitnessError as error:
        found = str(error)
    assert found == "none" or "MemoryError" in found or "OSError" in found
    assert run(value, "answer = 3") == 3


def test_code_without_an_end_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    value = SandboxedFunction(function_of(tmp_path, "value"), "code", limits=Limits(seconds=0.5))
    assert run(value, "import os", "os.fork()", "while True: pass") == 0.0
    left = run(value, "import os", "answer = [p for p in os.listdir('/proc') if p.isdigit()]")
    assert len(left) <= 4  # bubblewrap's, the runner, this call


def test_a_task_that_runs_code_is_refused_and_scored_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "utils.py").write_text(textwrap.dedent(METRICS))
    path = write_task(tmp_path, **{**TASKS["generation"], "unsafe_code": True, "doc_to_target": "{{5}}"})
    config = yaml.safe_load(path.read_text())
    config = {key: value for key, value in config.items() if key not in ("metric_list", "filter_list")}
    metric = "metric_list:\n- metric: !function utils.right\n  aggregation: mean\n  higher_is_better: true\n"
    path.write_text(yaml.safe_dump(config) + metric)
    with pytest.raises(FitnessError, match=r"runs what models write; lm_eval\.run_model_code: true"):
        load_tasks([str(path)])
    ((task,),) = load_tasks([str(path)], TaskContext(run_model_code=True)).values()
    scores = [task.score("0", [code]) for code in ("answer = '5'", "answer = '6'", "import os; os._exit(1)")]
    assert scores == [1.0, 0.0, 0.0]
    assert task.score("0", ["import os\nanswer = '5' if os.getpid() < 100 else 'here'"]) == 1.0


def test_a_machine_without_a_sandbox_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    require_sandbox("code")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FitnessError, match=r"expected bubblewrap .*apt install bubblewrap"):
        require_sandbox("code")
