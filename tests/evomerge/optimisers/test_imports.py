"""Optimisers load their libraries only when one is made."""

from __future__ import annotations

import subprocess
import sys


def test_importing_the_optimisers_loads_no_heavy_library() -> None:
    code = """
import sys
import evomerge.optimisers.cma.cma_es
import evomerge.optimisers.pymoo.pymoo_adapter
import evomerge.optimisers.random_search
import evomerge.pareto
import evomerge.optimisers.structured.structured
import evomerge.optimisers.cma.cma_surrogate
import evomerge.optimisers.pymoo.algorithm
import evomerge.campaign.campaign
import evomerge.schedules.halving
import evomerge.schedules.screen
print(sorted({"cma", "pymoo", "moocore", "matplotlib", "scipy", "torch", "ray", "lm_eval"} & set(sys.modules)))
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout == "[]\n"
