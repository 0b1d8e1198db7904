"""What a run knows, as objects and as frames."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import evomerge as em
from evomerge.assembly import build_parts
from tests.evomerge.conftest import n_items


@pytest.fixture
def run(finished: Path) -> em.Run:
    return em.load(finished)


def test_the_front_has_a_row_a_point_and_its_knee(run: em.Run) -> None:
    front, table = run.front, run.front.to_pandas()
    assert list(table.columns) == ["label", "sums", "sums stderr", "words", "words stderr", "mean", "expected", "knee"]
    assert list(table.index) == [point.candidate.number for point in front.points]
    assert list(table.index[table["knee"]]) == [front.knee.candidate.number]
    assert len(front) == len(list(front)) == len(table)


def test_candidates_have_a_row_each_with_their_genes_by_name(run: em.Run) -> None:
    table = run.candidates.to_pandas()
    genes = [str(gene) for gene in build_parts(run.config).space.gene_names()]
    first = ["label", "state", "sums", "sums stderr", "words", "words stderr", "mean", "seconds", "failure"]
    assert list(table.columns) == [*first, *genes]
    assert list(table.index) == list(range(12))
    assert set(table["state"]) == {"told"}
    assert table.loc[0, "label"] == "base"
    assert table.loc[:4, genes[1]].isna().all()


def test_genes_have_the_values_that_the_recipe_has(run: em.Run) -> None:
    for row in run.candidates[5:]:
        rule = row.recipe.rules[0]
        assert row.genes["operator"] == rule.operator
        alpha = next(given for given in rule.inputs if given.parent == "alpha")
        assert alpha.parameters["weight"] in row.genes.values()


def test_items_are_a_matrix_of_candidates_and_items(run: em.Run) -> None:
    table = run.items.to_pandas()
    assert table.shape == (12, n_items(run.directory, "search"))
    for number in (0, 11):
        scores = run.items.scores(number)
        assert scores is not None
        assert np.array_equal(table.loc[number, list(scores.item_ids)].to_numpy(dtype=float), scores.values)
    assert set(run.items.to_pandas("test").index) >= {0, 1, 2}


def test_what_was_verified_is_there_when_a_run_is_loaded(run: em.Run) -> None:
    report = run.verification
    assert report is not None
    assert [row.name for row in report.rows][:3] == ["base", "alpha", "beta"]
    table = report.to_pandas()
    assert table.loc["base", "kind"] == "parent"
    assert {"difference", "low", "high", "mean"} <= set(table.columns)
    assert report.verdict in report._repr_html_()


def test_a_notebook_shows_the_front_with_its_picture_and_draws_the_plots(run: em.Run) -> None:
    shown = run._repr_html_()
    assert "data:image/png;base64," in shown
    assert f"candidate {run.pick('knee').number}" in shown.partition("picks by validation items")[2]
    assert {trace.type for trace in run.plot.front().data} == {"scatter"}
    assert run.plot.history().data
    assert run.plot.genes().data


def test_a_report_goes_where_one_says(run: em.Run, tmp_path: Path) -> None:
    page = run.report(tmp_path / "page.html", figures=False)
    assert "<!doctype html>" in page.read_text().lower()
    assert not (tmp_path / "figures").exists()


def test_looking_at_a_run_loads_no_torch(run: em.Run) -> None:
    code = (
        f"import sys, evomerge as em; run = em.load({str(run.directory)!r}); run.front.knee; len(run.candidates);"
        " run.items.scores(0); run.verification; print({'torch', 'ray', 'pandas', 'plotly'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_without_pandas_a_sentence_says_what_to_install(run: em.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(em.EvomergeError, match=r"pip install 'evomerge\[notebook\]'"):
        run.candidates.to_pandas()


def test_a_directory_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(em.EvomergeError, match="is this the directory of a run"):
        em.load(tmp_path)
