"""A parent of noise is as long as an expert, and a plan says what it is."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from experiments.distractors.runs import EXPERTS, make_distractor
from search_spaces.checks.preflight import preflight
from search_spaces.parents.parents import Parents
from tests.search_spaces.checks.kinship.relatives import fine_tuned, make_base
from tests.search_spaces.merging.recipes import sources


def test_noise_is_as_long_as_the_experts_task_vectors_and_a_plan_names_it(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base")
    experts = {name: fine_tuned(base, tmp_path / name, seed=seed) for seed, name in enumerate(EXPERTS)}
    noise = make_distractor(tmp_path, tmp_path / "noise", 0)
    start, moved = load_file(base / "model.safetensors"), load_file(noise / "model.safetensors")
    trained = [load_file(path / "model.safetensors") for path in experts.values()]
    for name, weight in start.items():
        expected = sum(float((one[name] - weight).norm()) for one in trained) / 3
        torch.testing.assert_close(float((moved[name] - weight).norm()), expected, rtol=1e-4, atol=1e-6)
    assert make_distractor(tmp_path, tmp_path / "noise", 1) == noise  # what is done is not done again
    found = preflight(Parents.open(sources({"base": base, **experts, "noise": noise}), base="base"), "base").parents
    assert [each.verdict for each in found] == ["related", "related", "related", "noise"]
