"""How long mergekit's graph takes for a merge, tensors left in memory; run by the Python that has mergekit installed.

usage: PYTHON mergekit_graph.py CONFIG.yaml THREADS

Prints seconds: from the planned graph to the last tensor, without start, planning and writing.
"""

import sys
import time
from pathlib import Path

import torch
import yaml
from mergekit.architecture import get_architecture_info  # type: ignore[import-not-found]
from mergekit.config import MergeConfiguration  # type: ignore[import-not-found]
from mergekit.graph import Executor  # type: ignore[import-not-found]
from mergekit.merge import _model_out_config  # type: ignore[import-not-found]
from mergekit.options import MergeOptions  # type: ignore[import-not-found]
from mergekit.plan import MergePlanner  # type: ignore[import-not-found]


def main() -> None:
    """Merge once and print the seconds."""
    config = MergeConfiguration.model_validate(yaml.safe_load(Path(sys.argv[1]).read_text()))
    torch.set_num_threads(int(sys.argv[2]))
    options = MergeOptions(quiet=True)
    architecture = get_architecture_info(config, options)
    planner = MergePlanner(
        config, architecture, options=options, out_model_config=_model_out_config(config, architecture)
    )
    planner._plan()  # what plan_in_memory begins with; with current pydantic that cannot build its last task, a cast
    targets = [task for _, task in planner._tensors]
    executor = Executor(targets, math_device="cpu", storage_device="cpu")
    began = time.perf_counter()
    for _ in executor.run(quiet=True):
        pass
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main()
