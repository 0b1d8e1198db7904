import pytest

from search_spaces.errors import SpaceError
from search_spaces.recipe import Input, ParentSource, Recipe, Rule, Where

PARENTS = {"base": ParentSource("b"), "words": ParentSource("w", "abc")}


def recipe(**overrides: object) -> Recipe:
    rules = (
        Rule("ties", (Input("words", {"weight": 0.1, "density": 1 / 3}),), {"lambda": 1.0}, Where((0, 2), "mlp")),
        Rule("linear", (Input("words", {"weight": 1.0}), Input("base", {"weight": 0.5}))),
    )
    return Recipe(**{"parents": PARENTS, "base": "base", "rules": rules, "seed": 3, **overrides})


def test_a_recipe_survives_json_unchanged() -> None:
    assert Recipe.from_json(recipe().to_json()) == recipe()
    assert Recipe.from_json(recipe().to_json()).digest == recipe().digest


def test_the_digest_tells_the_order_of_inputs_and_every_number() -> None:
    swapped = recipe(rules=(recipe().rules[0], Rule("linear", recipe().rules[1].inputs[::-1])))
    assert len({recipe().digest, swapped.digest, recipe(seed=4).digest, recipe(dtype="float32").digest}) == 4


def test_an_unknown_parent_is_named() -> None:
    with pytest.raises(SpaceError, match="found 'wrods'"):
        recipe(rules=(Rule("linear", (Input("wrods"),)),))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"parents": 3}'])
def test_a_file_that_is_no_recipe_is_refused_with_one_message(text: str) -> None:
    with pytest.raises(SpaceError):
        Recipe.from_json(text)
