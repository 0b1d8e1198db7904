"""`evomerge reduce --bank`: parameters from elsewhere, few models of one's own, or none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from fitness.reduction.reduced_benchmark import ReducedBenchmark
from tests.conftest import Family, make_family
from tests.evomerge.conftest import Outcome, campaign_data, write_tasks
from tests.evomerge.responses.bank_files import asked, write_parameters, write_samples

Command = Callable[..., Outcome]
N_TASK, N_PUBLIC = 40, 16


@pytest.fixture(scope="module")
def merges(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return make_family(tmp_path_factory.mktemp("merges"), scale=0.3)


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory, merges: Family) -> Path:
    directory = tmp_path_factory.mktemp("campaign")
    write_tasks(directory)
    path = directory / "campaign.yaml"
    path.write_text(yaml.safe_dump(campaign_data(merges)))
    return path


@pytest.fixture(scope="module")
def samples(campaign: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """lm-eval's samples of sixteen public models on all items of both tasks, known by what they ask."""
    rng = np.random.default_rng(3)
    directory = tmp_path_factory.mktemp("bank")
    ability = rng.normal(0.0, 1.0, (N_PUBLIC, 1))
    for task in ("sums", "words"):
        lines = [json.loads(line) for line in (campaign.parent / f"{task}.jsonl").read_text().splitlines()]
        records = [asked(line["question"], line["choices"], i) for i, line in enumerate(lines)]
        chances = 1.0 / (1.0 + np.exp(-(ability + rng.normal(0.0, 1.0, N_TASK))))
        write_samples(directory, (rng.random(chances.shape) < chances).astype(float), f"theirs_{task}", records)
    return directory


def reduced(path: Path) -> tuple[ReducedBenchmark, dict[str, object]]:
    found = ReducedBenchmark.read(path)
    return found, dict(found.origin)


def test_answers_of_others_to_all_items_cost_nothing(
    evomerge: Command, campaign: Path, samples: Path, tmp_path: Path
) -> None:
    out = tmp_path / "benchmark.json"
    done = evomerge("reduce", campaign, "--out", out, "--items", 12, "--bank", samples)
    assert done.code == 0, done.err
    assert "models scored" not in done.out
    benchmark, origin = reduced(out)
    assert not out.with_suffix(".responses").exists()
    n = len(benchmark.items)
    assert f"lm-eval's samples by {N_PUBLIC} models of {n} of {n} search items" in " ".join(done.out.split())
    assert origin["own_models"] == 0
    assert benchmark.calibration.n_models == N_PUBLIC
    assert benchmark.bank.endpoints == {}


def test_items_that_no_bank_has_are_fitted_beside_those_that_it_has(
    evomerge: Command, campaign: Path, samples: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.json"
    assert evomerge("reduce", campaign, "--out", whole, "--items", 12, "--bank", samples).code == 0
    items = [item for item in ReducedBenchmark.read(whole).items if item.startswith("sums/")]
    a, d = np.linspace(0.5, 2.0, len(items)), np.linspace(-1.0, 1.0, len(items))
    names = [item.partition("/")[2] for item in items]
    file = write_parameters(tmp_path / "sums.csv", names, a, d, np.full(len(a), 0.3), np.full(len(a), 0.99))
    out = tmp_path / "benchmark.json"
    arguments = ("reduce", campaign, "--out", out, "--items", 12, "--bank", f"sums={file}", "--models", 14)
    done = evomerge(*arguments)
    assert done.code == 0, done.err
    said = " ".join(done.out.split())
    assert "14/14 models scored" in said
    assert f"item parameters of {len(items)} of" in said
    assert "search items are in no bank" in said
    benchmark, origin = reduced(out)
    assert origin["own_models"] == 14
    assert origin["items_fitted_here"] == len(benchmark.items) - len(items)
    assert set(benchmark.bank.endpoints) == {"base", "alpha", "beta"}
    parameters = benchmark.bank.parameters
    places = [benchmark.items.index(item) for item in items]
    assert np.allclose(parameters.guessing[places], 0.3)
    # One scale and one shift for all of the bank's items: a' = a s, d' = d + a m.
    slopes, intercepts = parameters.discriminations[places, 0], parameters.intercepts[places]
    assert np.ptp(slopes / a) < 0.1 * np.abs(slopes / a).mean()  # u of .99 became none
    assert np.linalg.matrix_rank(np.column_stack([intercepts - d, a]), tol=0.1) == 1
    again = evomerge(*arguments, "--matrix", out.with_suffix(".responses"))
    assert again.code == 0, again.err
    assert "models scored" not in again.out
    # A matrix from elsewhere does not tell how its models were merged; all else is the same.
    assert np.array_equal(ReducedBenchmark.read(out).bank.parameters.intercepts, parameters.intercepts)


def test_a_campaign_runs_on_it(evomerge: Command, campaign: Path, samples: Path, tmp_path: Path) -> None:
    out = campaign.parent / "by_bank.json"
    assert evomerge("reduce", campaign, "--out", out, "--items", 12, "--bank", samples).code == 0
    data = yaml.safe_load(campaign.read_text()) | {"reduced": "by_bank.json"}
    path = campaign.parent / "reduced.yaml"
    path.write_text(yaml.safe_dump(data))
    done = evomerge("run", path, "--run-dir", tmp_path / "run", "--evaluations", 5)
    assert done.code == 0, done.err
    assert "estimated from 6 items" in done.out


def test_a_bank_that_cannot_be_read_is_one_message_before_anything_is_opened(
    evomerge: Command, campaign: Path, tmp_path: Path
) -> None:
    done = evomerge("reduce", campaign, "--out", tmp_path / "x.json", "--bank", tmp_path / "none.csv")
    assert done.code != 0
    assert "expected a bank" in done.err
    assert "reading parents" not in done.out


def test_a_reduced_benchmark_without_a_bank_is_written_as_before(
    evomerge: Command, campaign: Path, samples: Path, tmp_path: Path
) -> None:
    out = tmp_path / "benchmark.json"
    assert evomerge("reduce", campaign, "--out", out, "--items", 12, "--bank", samples).code == 0
    data = json.loads(out.read_text())
    del data["origin"]
    out.write_text(json.dumps(data, indent=1))
    assert json.loads(ReducedBenchmark.read(out).to_json()) == data
