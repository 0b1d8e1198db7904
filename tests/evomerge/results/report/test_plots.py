from pathlib import Path

import pytest

from evomerge.archive import Archive, ArchiveError
from evomerge.results.report.plots import Plots
from tests.evomerge.archives import CAMPAIGN, make_archive, verification


@pytest.fixture
def path(tmp_path: Path) -> Path:
    archive = make_archive(tmp_path / "a.sqlite", proposals=24)
    archive.note("verification", verification(contender=None, winner=20).to_json())
    archive.close()
    return tmp_path / "a.sqlite"


def test_a_front_names_what_its_points_are_and_shows_every_candidate(path: Path) -> None:
    figure = Plots(path).front()
    assert {t.name for t in figure.data if t.showlegend} == {
        "merge", "on the front", "parent", "baseline", "knee", "verified winner",
    }  # fmt: skip
    numbers = {row[0] for trace in figure.data for row in trace.customdata or ()}
    assert numbers == set(range(29))


def test_a_name_that_several_panels_share_is_told_once(tmp_path: Path) -> None:
    make_archive(tmp_path / "a.sqlite", objectives=3, proposals=6).close()
    figure = Plots(tmp_path / "a.sqlite").front()
    told = [trace.name for trace in figure.data if trace.showlegend]
    assert len(told) == len(set(told)) < len(figure.data)
    assert len({trace.xaxis for trace in figure.data}) == 3


def test_a_history_has_hypervolume_mean_and_objectives(path: Path) -> None:
    titles = [note.text for note in Plots(path).history().layout.annotations]
    expected = ("relative hypervolume", "mean of all objectives", "arithmetic", "words")
    assert [title for title in titles if title != "best parent"] == [f"<b>{name}</b>" for name in expected]


def test_genes_are_the_winners_unless_a_candidate_is_named(path: Path) -> None:
    plots = Plots(path)
    assert plots.genes().layout.annotations[0].text == "<b>weight · candidate 20</b>"
    assert plots.genes(0).layout.annotations[0].text == "<b>weight · arithmetic</b>"
    with pytest.raises(ArchiveError):
        plots.genes(10_000)


def test_scales_of_heat_maps_stand_beside_their_maps(path: Path) -> None:
    figure = Plots(path).genes()
    for trace, axis in zip(figure.data, ("yaxis", "yaxis2"), strict=True):
        low, high = figure.layout[axis].domain
        assert (trace.colorbar.y, trace.colorbar.len) == pytest.approx(((low + high) / 2, high - low))


def test_where_there_is_nothing_to_show_a_figure_says_why(tmp_path: Path) -> None:
    Archive.create(tmp_path / "a.sqlite", CAMPAIGN).close()
    plots = Plots(tmp_path / "a.sqlite")
    names = ("front", "history", "genes", "held_out", "finalists", "items", "predicted")
    said = {name: getattr(plots, name)().layout.annotations[0].text for name in names}
    assert said["front"] == said["history"] == "nothing is scored yet"
    assert said["held_out"] == said["finalists"] == "not verified yet: run `evomerge verify`"
    assert all(said.values())


def test_a_running_searchs_figures_are_as_new_as_its_archive(path: Path) -> None:
    plots = Plots(path)
    assert len(plots.held_out().data) == 2
    archive = Archive.open(path)
    archive.note("verification", verification(contender=7, winner=20).to_json())
    archive.close()
    assert [len(trace.x) for trace in plots.held_out().data] == [4, 1, 1]
