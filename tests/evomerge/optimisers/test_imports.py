"""Optimisers load their libraries only when one is made."""

from __future__ import annotations

import subprocess
import sys


def test_importing_the_optimisers_loads_no_heavy_library() -> None:
    code = """
import sys
import evomerge.optimisers.cma_es, evomerge.optimisers.pymoo_adapter, evomerge.optimisers.random_search, evomerge.pareto
import evomerge.optimisers.structured, evomerge.optimisers.cma_surrogate, evomerge.optimisers.pymoo_options
import evomerge.campaign.campaign, evomerge.schedules.halving, evomerge.schedules.screen
print(sorted({"cma", "pymoo", "moocore", "matplotlib", "scipy", "torch", "ray", "lm_eval"} & set(sys.modules)))
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout == "[]\n"
