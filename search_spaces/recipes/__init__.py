"""Recipes and what they are made of."""

from search_spaces.recipes.groups import Groups
from search_spaces.recipes.recipe import OutputTokenizer, ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule, Where

__all__ = ["Groups", "Input", "OutputTokenizer", "ParentSource", "Recipe", "Rule", "Where"]
