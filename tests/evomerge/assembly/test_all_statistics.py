"""Every operator that reads statistics, from prompts to a merged checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import evomerge as em
from search_spaces.operators.registry import OPERATORS
from tests.conftest import Family
from tests.evomerge.conftest import write_tasks

READING = [name for name, operator in OPERATORS.items() if operator.statistics]
AVERAGES = [name for name in READING if name != "sens_merging"]  # that one sums task vectors


def merged(directory: Path, method: str, models: list[Path], base: Path, **keys: Any) -> dict[str, torch.Tensor]:
    write_tasks(directory)
    moments = {}
    for i, model in enumerate(models):
        generator = torch.Generator().manual_seed(i)
        weights = load_file(model / "model.safetensors")
        save_file(
            {name: torch.rand(w.shape, generator=generator) + 0.1 for name, w in weights.items()},
            directory / f"moments-{model.name}.safetensors",
        )
        moments[model.name] = f"moments-{model.name}.safetensors"
    data = {
        "merge_method": method,
        "base_model": str(base),
        "models": [{"model": str(model)} for model in models],
        "dtype": "float32",
        "statistics": {
            "tasks": [{"sums.jsonl": models[0].name}, {"words.jsonl": models[1].name}],
            "prompts": 3,
            **({"moments": moments} if "moments" in OPERATORS[method].statistics else {}),
        },
        **keys,
    }
    (directory / "merge.yml").write_text(yaml.safe_dump(data))
    return load_file(em.merge(directory / "merge.yml", directory / "out").directory / "model.safetensors")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOMERGE_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("method", READING)
def test_its_statistics_are_collected_and_read(method: str, family: Family, tmp_path: Path) -> None:
    found = merged(tmp_path, method, list(family.experts.values()), family.base)
    parents = [load_file(expert / "model.safetensors") for expert in family.experts.values()]
    name = "model.layers.1.mlp.down_proj.weight"
    mean = sum(parent[name] for parent in parents) / 2
    base = load_file(family.base / "model.safetensors")[name]
    assert found[name].isfinite().all()
    assert (found[name] - mean).norm() > 1e-3 * (mean - base).norm()  # more than a mean is known


@pytest.mark.parametrize("method", AVERAGES)
def test_equal_parents_give_themselves(method: str, family: Family, tmp_path: Path) -> None:
    copy = shutil.copytree(family.experts["alpha"], tmp_path / "copy")
    own = {"density": 1.0} if "density" in OPERATORS[method].input_parameters else {}
    found = merged(tmp_path, method, [family.experts["alpha"], copy], family.base, parameters=own)
    expected = load_file(copy / "model.safetensors")
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, atol=1e-4, rtol=1e-3)
