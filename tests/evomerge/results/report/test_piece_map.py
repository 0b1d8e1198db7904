import numpy as np

from evomerge.results.report.gene_map import gene_figure, piece_maps
from search_spaces.recipes.pieces import Pieces
from search_spaces.recipes.recipe import Recipe
from tests.evomerge.archives import PARENTS, alone
from tests.evomerge.results.report.back_ends import assert_drawn_alike


def pieced() -> Recipe:
    pieces = Pieces(("arithmetic", "words"), (0, 10, 40), ((0.25, 0.75), (0.5, 0.5)))
    return Recipe(PARENTS, "base", (), pieces=pieces)


def test_a_linear_combination_by_pieces_is_a_map_of_coefficients() -> None:
    (found,) = piece_maps(pieced())
    assert found.rows == ("arithmetic", "words")
    assert [column.layers for column in found.columns] == [(0, 10), (10, 40)]
    assert [column.label for column in found.columns] == ["0–25 %", "25–100 %"]
    np.testing.assert_array_equal(found.values, [[0.25, 0.5], [0.75, 0.5]])


def test_its_tiles_are_as_wide_as_their_share_of_the_parameters() -> None:
    (found,) = piece_maps(pieced())
    figure = gene_figure(found, (0.0, 1.0))
    assert np.diff(figure["data"][0]["x"]).tolist() == [10, 30]
    assert figure["layout"]["xaxis"]["tickvals"] == [0, 10, 20, 30, 40]
    assert figure["layout"]["xaxis"]["ticktext"][1] == "25 %"
    assert_drawn_alike([figure])


def test_a_recipe_of_rules_has_none() -> None:
    assert piece_maps(alone("arithmetic")) == []
