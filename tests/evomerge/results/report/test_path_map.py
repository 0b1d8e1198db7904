import numpy as np

from evomerge.results.report.gene_map import path_maps
from search_spaces.recipes.layer_path import path_text, scales_text
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule

PARENTS = {"base": ParentSource("b"), "words": ParentSource("w")}
RULE = Rule("passthrough", (Input("base"),))
PATH = ({"base": 0}, {"words": 0}, {"words": 1}, {"base": 2, "words": 2})


def test_a_path_is_drawn_as_source_layers_and_scales_over_depth() -> None:
    layers, scales = path_maps(Recipe(PARENTS, "base", (RULE,), layers=PATH, input_scales=(1.0, 0.9, 1.0, 1.25)))
    nan = np.nan
    assert (layers.parameter, layers.rows) == ("source layer", ("base", "words", "merged"))
    np.testing.assert_array_equal(layers.values, [[0, nan, nan, nan], [nan, 0, 1, nan], [nan, nan, nan, 2]])
    assert scales.parameter == "input scale"
    np.testing.assert_array_equal(scales.values, [[1, nan, nan, nan], [nan, 0.9, 1, nan], [nan, nan, nan, 1.25]])
    assert layers.operators[1].tolist() == ["", "layer 0 of words", "layer 1 of words", ""]
    assert [column.label for column in layers.columns] == ["0", "1", "2", "3"]


def test_a_path_without_scales_has_one_map_and_a_recipe_without_a_path_none() -> None:
    assert [m.parameter for m in path_maps(Recipe(PARENTS, "base", (RULE,), layers=PATH))] == ["source layer"]
    assert path_maps(Recipe(PARENTS, "base", (RULE,))) == []


def test_a_path_is_written_as_runs_of_layers() -> None:
    recipe = Recipe(PARENTS, "base", (RULE,), layers=PATH, input_scales=(1.0, 0.9, 1.0, 1.25))
    assert path_text(recipe) == "base 0, words 0-1, merged 2"
    assert scales_text(recipe) == "scales 0.9 to 1.2"
    assert (path_text(Recipe(PARENTS, "base", (RULE,))), scales_text(Recipe(PARENTS, "base", (RULE,)))) == ("", "")
