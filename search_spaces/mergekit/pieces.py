"""Recipes made of pieces, as rules for whole tensors: mergekit cuts no tensor."""

from __future__ import annotations

from dataclasses import replace

from search_spaces.errors import SpaceError
from search_spaces.recipe import Input, Recipe, Rule, Where
from search_spaces.weights.parents import Parents
from search_spaces.weights.piecewise import Piece, TensorPieces, flat_layout


def with_rules(recipe: Recipe) -> Recipe:
    """Return the recipe that makes the same tensors by rules; one without pieces as it is.

    Opens the parents, their headers only.

    Raises:
        SpaceError: a boundary falls inside a tensor, or a parent cannot be opened.
    """
    if recipe.pieces is None:
        return recipe
    parents = Parents.of(recipe)
    pieces = TensorPieces(recipe.pieces, parents, recipe.base)
    made = {name: pieces.of(name) for name in flat_layout(parents, recipe.base).names}
    cut = [name for name, parts in made.items() if len(parts) > 1]
    if cut:
        raise SpaceError(
            f"pieces: mergekit cuts no tensor, found boundaries inside {len(cut)} of them, {cut[0]} among them; search "
            "with `split: tensor` or `split: layer` for merges that mergekit can make"
        )
    if len({part.coefficients for (part,) in made.values()}) == 1:
        (part,) = next(iter(made.values()))
        return replace(recipe, pieces=None, rules=(_rule(recipe.pieces.parents, part, Where()),))
    # A rule for a name must come before one for a part of it.
    names = sorted(made, key=len, reverse=True)
    rules = tuple(_rule(recipe.pieces.parents, made[name][0], Where(contains=(name,))) for name in names)
    return replace(recipe, pieces=None, rules=rules)


def _rule(parents: tuple[str, ...], piece: Piece, where: Where) -> Rule:
    shares = zip(parents, piece.coefficients, strict=True)
    return Rule("linear", tuple(Input(p, {"weight": share}) for p, share in shares), {"normalize": False}, where)
