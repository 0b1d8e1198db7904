"""`evomerge reduce`, and campaigns on what it writes."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from evomerge.archive import Archive
from evomerge.assembly import build_parts
from evomerge.config import load_campaign
from fitness.estimation import MeanEstimator
from fitness.reduction.reduced_benchmark import ReducedBenchmark
from fitness.reduction.reduced_estimator import ReducedEstimator
from fitness.scores import ItemScores
from tests.conftest import Family, make_family
from tests.evomerge.conftest import campaign_data, write_tasks


@pytest.fixture(scope="module")
def merges(tmp_path_factory) -> Family:
    """Experts far enough apart that their merges answer differently."""
    return make_family(tmp_path_factory.mktemp("merges"), scale=0.3)


N_SEARCHED = 36  # of 2 x 40 items, each with a chance of a half


@pytest.fixture(scope="module")
def reduced(tmp_path_factory, merges) -> Path:
    """A directory with a campaign and its reduced benchmark. Read-only."""
    from typer.testing import CliRunner

    from evomerge.cli.app import app

    directory = tmp_path_factory.mktemp("reduced")
    write_tasks(directory)
    (directory / "campaign.yaml").write_text(yaml.safe_dump(campaign_data(merges)))
    arguments = ["reduce", "campaign.yaml", "--out", "benchmark.json", "--models", "20", "--items", "12"]
    with contextlib.chdir(directory):
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    (directory / "said.txt").write_text(result.output)
    assert result.exit_code == 0
    return directory


def campaign(directory: Path, merges: Family, **overrides: object) -> Path:
    path = directory / "reduced.yaml"
    path.write_text(yaml.safe_dump(campaign_data(merges, **overrides)))
    return path


def test_the_report_compares_with_random_items_and_tells_progress(reduced):
    said = (reduced / "said.txt").read_text()
    assert "20/20 models scored on all search items" in said
    assert "at random, 20 times" in said
    assert "random items (mean absolute error" in " ".join(said.split())
    assert "reduced: benchmark.json" in said


def test_the_file_holds_items_weights_parameters_endpoints_and_the_report(reduced):
    data = json.loads((reduced / "benchmark.json").read_text())
    assert len(data["anchors"]) == 12
    assert len(data["items"]) == len(data["intercepts"]) == len(data["discriminations"]) == N_SEARCHED
    assert set(data["endpoints"]) == {"base", "alpha", "beta"}
    assert {row["estimator"] for row in data["calibration"]["rows"]} >= {"mean", "mp-irt", "gmp-irt"}
    assert data["verdict"] == data["calibration"]["verdict"]
    assert data["mixture"]["knows_shares"] is True


def test_no_validation_or_test_item_is_ever_scored(reduced, evomerge, merges):
    benchmark = ReducedBenchmark.read(reduced / "benchmark.json")
    from evomerge.responses.files import kept_rows

    rows = kept_rows(reduced / "benchmark.responses")
    assert {row.scores.item_ids for row in rows.values()} == {benchmark.items}
    assert len(benchmark.items) == N_SEARCHED


def test_the_rows_are_a_matrix_that_reduces_to_the_same(reduced, evomerge, tmp_path):
    out = tmp_path / "again.json"
    done = evomerge(
        "reduce", reduced / "campaign.yaml", "--out", out, "--items", 12, "--matrix", reduced / "benchmark.responses"
    )
    assert done.code == 0, done.err
    assert "models scored" not in done.out
    again, first = (json.loads(path.read_text()) for path in (out, reduced / "benchmark.json"))
    # A matrix from elsewhere does not tell how its models were merged; all else is the same.
    assert again["items"] == first["items"]
    assert again["intercepts"] == first["intercepts"]
    assert again["calibration"]["random"] == first["calibration"]["random"]


def test_a_campaign_scores_and_labels_the_reduced_items(reduced, evomerge, merges, tmp_path):
    file = campaign(reduced, merges, reduced={"file": "benchmark.json", "items": 8, "estimator": "gmp-irt"})
    run = tmp_path / "run"
    done = evomerge("run", file, "--run-dir", run)
    assert done.code == 0, done.err
    assert f"8 of {N_SEARCHED} search items" in done.out
    assert "estimated from 4 items" in done.out
    archive = Archive.read(run / "archive.sqlite")
    chosen = ReducedBenchmark.read(reduced / "benchmark.json").items_for(8)
    records = archive.records()
    assert {archive.scores(r.number, "search").item_ids for r in records} == {chosen}
    assert {(o.kind, o.n_items) for r in records for o in r.estimate.objectives} == {("estimated", 4)}
    archive.close()
    front = json.loads(evomerge("pareto", run, "--json").out)["front"]
    assert {o["kind"] for point in front for o in point["objectives"].values()} == {"estimated"}
    verified = evomerge("verify", run, "--top", 1, "--json")
    assert verified.code == 0, verified.err
    kinds = {o["kind"] for row in json.loads(verified.out)["rows"] for o in row["objectives"].values()}
    assert kinds == {"full"}
    assert re.search(r'"estimated": ?"estimated"', (run / "report.html").read_text())


@pytest.mark.parametrize(
    "settings",
    [
        {"optimiser": {"kind": "cma_es", "population": 4}},
        {"optimiser": {"kind": "map", "initial": 4}},
        {"optimiser": {"kind": "m2n2", "population": 4}, "space": {"kind": "niches"}},
    ],
    ids=["cma_es", "map", "m2n2"],
)
def test_generations_are_halved_by_p_irt_on_growing_parts_of_all_search_items(
    reduced, evomerge, merges, tmp_path, settings
):
    settings = {**settings, "budget": {"evaluations": 24}}
    file = campaign(reduced, merges, reduced="benchmark.json", schedule="halving", **settings)
    done = evomerge("run", file, "--run-dir", tmp_path / "run")
    assert done.code == 0, done.err
    benchmark = ReducedBenchmark.read(reduced / "benchmark.json")
    parts = build_parts(load_campaign(file))
    p_irt = ReducedEstimator(
        benchmark, parts.objectives, estimator="p-irt", task_of=parts.fitness.task_of, splits=parts.fitness.splits
    )
    with contextlib.closing(Archive.read(tmp_path / "run" / "archive.sqlite")) as archive:
        told = [(r.estimate, archive.scores(r.number, "search")) for r in archive.records()]
    early = [(estimate, scores) for estimate, scores in told if estimate.stopped is not None]
    whole = [(estimate, scores) for estimate, scores in told if estimate.stopped is None]
    stopped = [n for n, (estimate, _) in enumerate(told) if estimate.stopped is not None]
    assert len(early) >= 8
    assert stopped[0] < 12 < stopped[-1]  # not one generation at the end, but several
    for estimate, scores in early:
        assert scores.item_ids == benchmark.items[: len(scores.item_ids)]
        assert estimate.objectives == p_irt.estimate(scores).objectives
    assert {scores.item_ids for _, scores in whole} == {benchmark.items}
    assert {estimate.kind for estimate, _ in whole} == {"full"}


def test_halving_takes_the_items_and_the_estimator_that_the_file_names(reduced, merges):
    chosen = {"file": "benchmark.json", "items": 8, "estimator": "mean"}
    file = campaign(reduced, merges, reduced=chosen, schedule="halving")
    parts = build_parts(load_campaign(file))
    benchmark = ReducedBenchmark.read(reduced / "benchmark.json")
    items = parts.search_budget.items
    assert items == tuple(item for item in benchmark.items if item in benchmark.items_for(8))
    scores = ItemScores(items[:4], np.array([1.0, 0.0, 1.0, 1.0]))
    mean = MeanEstimator(parts.objectives, task_of=parts.fitness.task_of, splits=parts.fitness.splits)
    found = [o.value for o in parts.estimator.estimate(scores).objectives]
    assert found == [o.value for o in mean.estimate(scores).objectives]


def test_a_run_refuses_a_reduced_benchmark_that_changed_after_it_began(reduced, evomerge, merges, tmp_path):
    copy = tmp_path / "benchmark.json"
    copy.write_text((reduced / "benchmark.json").read_text())
    file = campaign(reduced, merges, reduced=str(copy), budget={"evaluations": 5})
    assert evomerge("run", file, "--run-dir", tmp_path / "run").code == 0
    data = json.loads(copy.read_text())
    data["intercepts"][0] += 1.0
    copy.write_text(json.dumps(data))
    done = evomerge("run", file, "--run-dir", tmp_path / "run", "--evaluations", 6)
    assert done.code == 1
    assert "as it was when this search began, found another" in done.err


def test_right_answers_that_changed_are_refused_by_who_goes_on_and_by_who_uses_the_file(
    reduced, evomerge, merges, tmp_path
):
    copy = Path(shutil.copytree(reduced, tmp_path / "copy"))
    lines = [json.loads(line) for line in (copy / "sums.jsonl").read_text().splitlines()]
    changed = [json.dumps({**line, "gold": (line["gold"] + 1) % 3}) for line in lines]
    (copy / "sums.jsonl").write_text("\n".join(changed))
    done = evomerge("reduce", copy / "campaign.yaml", "--out", copy / "benchmark.json", "--models", 21, "--items", 12)
    assert done.code == 1
    assert "task 'sums': 40 items changed" in done.err
    assert "remove the directory, or choose another --out" in done.err
    done = evomerge("run", campaign(copy, merges, reduced="benchmark.json"), "--run-dir", tmp_path / "run")
    assert done.code == 1
    assert "expected the questions and answers that it was made from" in done.err


@pytest.mark.parametrize(
    ("overrides", "code", "message"),
    [
        ({"reduced": "none.json"}, 1, "make it: evomerge reduce CAMPAIGN.yaml --out"),
        ({"reduced": "benchmark.json", "seed": 1}, 1, "tasks, splits or seed are not the same"),
        ({"reduced": {"file": "benchmark.json", "items": 13}}, 1, "to 12 (all), found 13"),
        ({"reduced": {"file": "benchmark.json", "items": 0}}, 2, "reduced.items"),
        ({"reduced": {"file": "benchmark.json", "estimator": "irt"}}, 2, "reduced.estimator"),
        ({"reduced": {"items": 5}}, 2, "reduced.file"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(reduced, evomerge, merges, tmp_path, overrides, code, message):
    done = evomerge("run", campaign(reduced, merges, **overrides), "--run-dir", tmp_path / "run")
    assert done.code == code
    assert message in " ".join(done.err.split())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--items", 41], 1, f"expected from 2 (one per task) to {N_SEARCHED} (all), found 41"),
        (["--anchors", "best"], 2, "expected one of uniform"),
        (["--matrix", "none.csv"], 1, "expected a response matrix (Parquet, CSV or JSON), found nothing"),
    ],
)
def test_wrong_options_are_refused(reduced, evomerge, tmp_path, arguments, code, message):
    done = evomerge("reduce", reduced / "campaign.yaml", "--out", tmp_path / "out.json", *arguments)
    assert done.code == code
    assert message in " ".join(done.err.replace("│", " ").split())
    assert not (tmp_path / "out.json").exists()
