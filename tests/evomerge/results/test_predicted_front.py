"""The prediction of a MAP campaign comes from its archive alone, in the report and in `pareto --json`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evomerge.archive import Archive
from evomerge.results.front import front_as_json
from evomerge.results.pages.front import front
from evomerge.results.pages.snapshot import read_snapshot
from evomerge.results.predicted_front import read_prediction
from evomerge.results.report.report_files import all_figures
from tests.evomerge.archives import CAMPAIGN, make_archive
from tests.evomerge.results.report.back_ends import assert_drawn_alike

MAP = CAMPAIGN.replace("{kind: nsga2, population: 24}", "{kind: map}")


def archive_of(path: Path, *, campaign: str = MAP, objectives: int = 2) -> Archive:
    return make_archive(path / "a.sqlite", proposals=36, failures=(3,), campaign=campaign, objectives=objectives)


def test_pareto_json_holds_the_predicted_front_with_intervals(tmp_path: Path) -> None:
    predicted = json.loads(json.dumps(front_as_json(archive_of(tmp_path), "a")))["predicted"]
    assert predicted["evaluations"] == 35  # neither landmarks nor the failure
    assert set(predicted["surrogates"]) == {"arithmetic", "words"}
    assert predicted["front"]
    for point in predicted["front"]:
        assert len(point["genome"]) == 4
        assert all(o["low"] <= o["value"] <= o["high"] for o in point["objectives"].values())


def test_the_prediction_needs_no_stored_state_and_is_the_same_every_time(tmp_path: Path) -> None:
    archive = archive_of(tmp_path)
    one, other = read_prediction(archive), read_prediction(archive)
    assert one is not None
    assert other is not None
    assert one.as_json() == other.as_json()


def test_other_optimisers_have_no_prediction(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, campaign=CAMPAIGN)
    assert read_prediction(archive) is None
    assert "predicted" not in front_as_json(archive, "a")
    assert front(read_snapshot(archive), 100)["predicted"] is None


@pytest.mark.parametrize(("objectives", "n_plots"), [(1, 0), (2, 1), (3, 3)])
def test_the_report_shows_each_pair_of_objectives(tmp_path: Path, objectives: int, n_plots: int) -> None:
    archive = archive_of(tmp_path, objectives=objectives)
    snapshot = read_snapshot(archive)
    assert front(snapshot, 100)["predicted"]["objectives"] == list(range(objectives))
    figures = all_figures(archive, snapshot.contents, snapshot.prediction)["predicted"]
    assert len(figures) == n_plots
    if figures:
        assert_drawn_alike(figures)
