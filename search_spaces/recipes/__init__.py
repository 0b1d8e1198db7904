"""Recipes and what they are made of."""

from search_spaces.recipes.groups import Groups
from search_spaces.recipes.recipe import Input, OutputTokenizer, ParentSource, Recipe, Rule, Where

__all__ = ["Groups", "Input", "OutputTokenizer", "ParentSource", "Recipe", "Rule", "Where"]
