import pytest

from search_spaces.errors import SpaceError
from search_spaces.recipes.pieces import Pieces
from search_spaces.recipes.recipe import OutputTokenizer, ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule, Where

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


def scaled(scales: tuple[float, ...] | None) -> Recipe:
    return recipe(layers=({"words": 0}, {"words": 1}), input_scales=scales)


def test_input_scales_survive_json_and_each_counts_for_the_digest() -> None:
    there = scaled((1.0, 0.9))
    assert Recipe.from_json(there.to_json()) == there
    assert len({scaled(None).digest, there.digest, scaled((1.0, 0.8)).digest}) == 3
    assert "input_scales" not in scaled(None).to_json()


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ((1.0,), "one per output layer, 2, found 1"),
        ((1.0, 0.0), r"input_scales\[1\]: expected a finite number above 0, found 0.0"),
        ((float("nan"), 1.0), r"input_scales\[0\].*nan"),
        ((1.0, float("inf")), r"input_scales\[1\].*inf"),
        ((True, 1.0), r"input_scales\[0\].*True"),
        (("1", 1.0), r"input_scales\[0\].*'1'"),
    ],
)
def test_input_scales_must_be_one_positive_number_per_layer(scales: tuple[float, ...], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        scaled(scales)


def test_input_scales_without_layers_are_refused() -> None:
    with pytest.raises(SpaceError, match="add `layers`"):
        recipe(input_scales=(1.0,))


PIECES = Pieces(("words", "base"), (0, 3, 7), ((0.5, 0.5), (1.0, -0.25)))


@pytest.mark.parametrize(
    ("made", "digest"),
    [
        (recipe(), "6514e76e6489c9749213564c0876f877a5f8967df8d55a9ae9f47e6fe4818783"),
        (scaled((1.0, 0.9)), "8506c09e167235b189388d94eedd149ae6b835fbf80faafeb873ff163c3391b3"),
        (recipe(rules=(), pieces=PIECES), "d82753f8ef2b23764689934db0699a2b941b4dc76ac09a674c53423dae37b2f9"),
        (
            recipe(tokenizer=OutputTokenizer("union", 64, "auto")),
            "ebdb6385be676ec79a8dd25e597ea717c66a8f67e5601e7b0311b8756e6d9811",
        ),
    ],
)
def test_digests_in_old_archives_are_those_of_today(made: Recipe, digest: str) -> None:
    assert made.digest == Recipe.from_json(made.to_json()).digest == digest


def test_a_recipe_is_written_once_however_often_its_digest_is_read() -> None:
    made = recipe()
    assert made.digest is made.digest
    assert recipe() == made
