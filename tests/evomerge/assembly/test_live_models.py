from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from evomerge.assembly.gpus import gpus_each
from evomerge.assembly.live_models import load_checkpoint, with_compute_dtype
from evomerge.config import CampaignConfig, load_campaign
from tests.conftest import make_family

CAMPAIGN = """
parents:
  - {{name: alpha, model: {alpha}}}
  - {{name: beta, model: {beta}}}
base: {base}
objectives: [{{name: a, tasks: [a.jsonl]}}]
workers: {workers}
export: {{dtype: bfloat16}}
"""


def campaign(tmp_path: Path, workers: str) -> CampaignConfig:
    family = make_family(tmp_path / "family")
    (tmp_path / "a.jsonl").write_text('{"prompt": "a", "choices": ["b", "c"], "answer": 0}\n' * 3)
    file = tmp_path / "campaign.yaml"
    file.write_text(CAMPAIGN.format(**family.experts, base=family.base, workers=workers))
    return load_campaign(file)


@pytest.mark.skipif(torch.cuda.is_available(), reason="of a driver without a GPU")
@pytest.mark.parametrize(
    ("workers", "cluster", "expected"),
    [
        ("{backend: ray, address: 'head:6379', gpus: 0.5}", 0.0, 0.5),
        ("{backend: ray, address: 'head:6379'}", 8.0, 1.0),
        ("{backend: ray, address: 'head:6379'}", 0.0, 0.0),
        ("{backend: ray, address: 'head:6379', accelerator: A100}", 0.0, 1.0),
        ("{backend: ray, address: 'head:6379', gpus: 0}", 8.0, 0.0),
        ("{backend: ray}", 8.0, 0.0),
        ("{}", 8.0, 0.0),
        ("{gpus: 1}", 8.0, 0.0),
    ],
)
def test_a_driver_without_a_gpu_asks_whether_its_workers_have_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: str, cluster: float, expected: float
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr("evomerge.workers.cluster_gpus.gpus_of_cluster", lambda _: cluster)
    config = campaign(tmp_path, workers)
    assert gpus_each(config) == expected
    if expected:
        assert with_compute_dtype(config).engine.dtype == "bfloat16"


def test_a_checkpoint_to_be_scored_computes_in_float32_on_a_cpu(tmp_path: Path) -> None:
    directory = make_family(tmp_path).base
    file = directory / "model.safetensors"
    stored = {name: tensor.bfloat16() for name, tensor in load_file(file).items()}
    save_file(stored, file, metadata={"format": "pt"})
    module, _ = load_checkpoint(str(directory), torch.device("cpu"))
    for name, weight in module.named_parameters():
        assert weight.dtype == torch.float32
        assert weight.equal(stored[name].float())
