"""A command that the system gives too little memory says so, in one message."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from evomerge.errors import no_memory

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize("mebibytes", [300, 700])  # torch's libraries cannot be mapped; Python finds no memory
def test_a_command_without_memory_ends_with_one_message(mebibytes: int, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yml"
    recipe.write_text("merge_method: linear\nmodels: [{model: ./a}, {model: ./b}]\n")
    done = subprocess.run(
        [sys.executable, "-m", "evomerge.cli", "merge", str(recipe), str(tmp_path / "out")],
        cwd=REPOSITORY,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (mebibytes * 2**20,) * 2),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert "memory" in done.stderr


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: tried 8 bytes"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_whoever_is_refused_memory_says_it_in_words_of_its_own(error: Exception) -> None:
    outer = RuntimeError("cannot import")
    outer.__cause__ = error
    for one in (error, outer):
        assert "no more memory" in (no_memory(one) or "")


def test_other_errors_are_not_about_memory() -> None:
    assert no_memory(ImportError("No module named 'torch'")) is None
