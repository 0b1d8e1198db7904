import numpy as np
import pytest

from evomerge.results.report.gene_map import depth, gene_maps
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule, Where
from tests.evomerge.archives import everywhere, merged

PARENTS = {"base": ParentSource("b"), "words": ParentSource("w")}


EVERYWHERE = Where()


def rule(weight: float, where: Where = EVERYWHERE) -> Rule:
    return Rule("linear", (Input("words", {"weight": weight}),), {}, where)


def weights(*rules: Rule, n_layers: int | None = None) -> dict[str, dict[str, float]]:
    recipe = Recipe(PARENTS, "base", rules)
    (found,) = gene_maps(recipe, depth([recipe]) if n_layers is None else n_layers)
    columns = [c.label for c in found.columns]
    return {
        row: {c: float(v) for c, v in zip(columns, line, strict=True) if np.isfinite(v)}
        for row, line in zip(found.rows, found.values, strict=True)
    }


def test_layers_are_columns_and_modules_rows() -> None:
    found = weights(
        rule(0.1, Where((0, 2), "mlp")),
        rule(0.2, Where((2, 3), "mlp")),
        rule(0.3, Where((0, 3), "attention")),
        rule(0.4, Where(None, "other")),
    )
    assert found == {
        "words · attention": {"0–1": 0.3, "2": 0.3},
        "words · mlp": {"0–1": 0.1, "2": 0.2},
        "words · other": {"0–1": 0.4, "2": 0.4, "other": 0.4},
    }


def test_the_first_rule_that_matches_counts() -> None:
    found = weights(rule(0.9, Where((0, 1))), rule(0.1))
    assert found == {"words": {"0": 0.9, "other": 0.1}}


def test_sides_are_columns_before_and_after_the_layers() -> None:
    found = weights(rule(0.1, Where(side="before")), rule(0.2, Where((0, 4))), rule(0.3, Where(side="after")))
    assert found == {"words": {"embeddings": 0.1, "0–3": 0.2, "head": 0.3}}


def test_a_recipe_without_layers_is_drawn_over_those_of_its_campaign() -> None:
    assert weights(rule(0.5)) == {"words": {"all layers": 0.5}}
    assert weights(rule(0.5), n_layers=6) == {"words": {"0–5": 0.5, "other": 0.5}}


def test_rules_by_part_of_a_name_are_left_out() -> None:
    assert weights(rule(0.7, Where(contains="embed")), rule(0.5)) == {"words": {"all layers": 0.5}}


def test_parameters_of_the_operator_have_rows_of_their_own_and_flags_none() -> None:
    maps = gene_maps(merged(np.random.default_rng(0)), 30)
    assert [m.parameter for m in maps] == ["weight", "density", "lambda"]
    assert maps[2].rows == ("attention", "mlp", "other")


@pytest.mark.parametrize("n_layers", [0, 12])
def test_each_parent_has_a_row(n_layers: int) -> None:
    (found,) = gene_maps(everywhere("linear", 1 / 3), n_layers)
    assert found.rows == ("arithmetic", "words", "dates")
    assert np.allclose(found.values, 1 / 3)
