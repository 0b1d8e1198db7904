"""What counts as a change of a task's function: its own text and what it uses of its file, nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from fitness.tasks.function_text import function_text

FILE = '''\
"""Tasks of mine."""
import math
import other
from elsewhere import weigh as weighed

FACTOR = 2
UNUSED = 3
ITEMS = tuple(f"digit {n}" for n in range(FACTOR))

if FACTOR > 1:
    def scaled(x):
        return math.sqrt(x)


def apart():
    return UNUSED


@weighed
def digits(model, tokenizer):
    # a note
    return {item: scaled(1) for item in ITEMS}


digits.item_ids = ITEMS

if __name__ == "__main__":
    found = digits(None, None)
'''


def text(tmp_path: Path, source: str) -> str:
    (tmp_path / "checks.py").write_text(source)
    return function_text(tmp_path / "checks.py", "digits")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("FACTOR = 2", "FACTOR = 4"),
        ("math.sqrt(x)", "math.log(x)"),
        ("@weighed\n", ""),
        ("elsewhere", "somewhere"),
        ("digits.item_ids = ITEMS", "digits.item_ids = ITEMS[:1]"),
        ("scaled(1)", "scaled(2)"),
    ],
)
def test_the_function_and_what_it_uses_of_its_file_is_compared(tmp_path: Path, old: str, new: str) -> None:
    assert text(tmp_path, FILE) != text(tmp_path, FILE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Tasks of mine", "My tasks"),
        ("UNUSED = 3", "UNUSED = 4"),
        ("    # a note\n", "\n    # another note\n\n"),
        ("import other\n", ""),
        ("found = digits(None, None)", "found = digits(1, 2)"),
    ],
)
def test_comments_and_what_it_does_not_use_are_not(tmp_path: Path, old: str, new: str) -> None:
    assert text(tmp_path, FILE) == text(tmp_path, FILE.replace(old, new)) != ""


def test_what_is_no_python_says_nothing(tmp_path: Path) -> None:
    assert text(tmp_path, "def digits(:") == function_text(tmp_path / "none.py", "digits") == ""
