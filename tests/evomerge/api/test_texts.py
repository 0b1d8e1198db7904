"""What tables say of a verification, checked by hand against its rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evomerge.api.texts import against_cells, held_out_cells
from evomerge.api.verifying import VerificationReport
from evomerge.cli.tables import verification_table
from tests.evomerge.archives import verification, with_winners
from tests.evomerge.results.verification.test_verify import AbilityWorker, verified

ABILITIES = {"alpha": (0.5, 0.3), "beta": (0.2, 0.2), "uniform mean": (0.6, 0.6)}


def test_the_last_line_of_the_held_out_table_is_what_the_search_bought_over_the_best_recipe(tmp_path: Path) -> None:
    found = verified(tmp_path, AbilityWorker(ABILITIES, (0.7, 0.9)))
    _, rows = held_out_cells(found)
    of = {row.name: row for row in found.rows}
    winner, recipe = of[f"candidate {found.winner}"], of["uniform mean"]
    gained = [a.value - b.value for a, b in zip(winner.objectives, recipe.objectives, strict=True)]
    name, *by_objective, mean, interval = rows[-1]
    assert name == f"candidate {found.winner} over uniform mean"
    assert [float(cell) for cell in by_objective] == pytest.approx(gained, abs=5e-4)
    assert float(mean) == pytest.approx(winner.mean - recipe.mean, abs=5e-4)
    assert interval.startswith(f"{mean} (+")
    assert len(rows) == len(found.rows) + 1
    against = against_cells(found)
    assert [row[0] for row in against][:2] == [
        f"candidate {found.winner} less {found.best_parent}",
        f"candidate {found.winner} less uniform mean",
    ]
    assert against[1][-1] == interval
    assert verification_table(found, 80).row_count == len(found.rows) + len(against)


def test_json_has_the_number_of_the_verification_and_what_was_bought_with_its_level(tmp_path: Path) -> None:
    found = verified(tmp_path, AbilityWorker(ABILITIES, (0.7, 0.9)))
    said = VerificationReport(replace(found, number=3), ()).to_dict()
    assert (said["number"], said["told"], said["dropped"]) == (3, 12, [])
    bought = said["winners"][0]["bought"]
    assert bought["recipe"] == "uniform mean"
    assert bought["difference"]["low"] < bought["difference"]["value"] < bought["difference"]["high"]
    assert f"({100 * bought['confidence']:.3g} % interval {bought['difference']['low']:+.3f} to " in said["verdict"]


def test_without_a_recipe_to_compare_with_the_table_ends_with_the_winners() -> None:
    found = with_winners(verification(), "better")
    assert len(held_out_cells(found)[1]) == len(found.rows)
    assert "verification 1 on them" in str(verification_table(found, 80).title)
