"""Recipes and what they are made of."""
