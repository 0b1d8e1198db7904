"""The benchmark that is prepared for GPUs, on the CPU by the same way."""

from __future__ import annotations

from pathlib import Path

import torch

from experiments.benchmarks.gpu import MODES, measured


def test_every_part_is_measured_the_same_way_on_a_cpu(tmp_path: Path) -> None:
    lines = list(measured(tmp_path, "tiny", torch.device("cpu"), MODES))
    begun = [line.partition(":")[0].partition(",")[0] for line in lines]
    assert begun == [
        *("device", "models", "kernels of merges"),
        *["merge"] * 6,
        *("scoring", "writing", "mergekit", "vllm"),
    ]
    assert all(f"parents {mode}, ties" in "\n".join(lines) for mode in MODES)
    assert "32 tokens" in lines[-3]
