from __future__ import annotations

import subprocess
import sys
from typing import get_args

import fitness
from fitness.scores import SPLITS


def test_every_name_of_the_face_is_there_and_is_what_its_module_calls_so():
    assert len(fitness.__all__) == len(set(fitness.__all__))
    for name in {*fitness.__all__} - {"Split"}:
        assert getattr(fitness, name).__name__ == name
    assert get_args(fitness.Split) == SPLITS  # an alias, which has no name


def test_importing_the_package_loads_no_torch():
    code = "import sys, fitness; fitness.Budget, fitness.Objective, fitness.Splits; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"
