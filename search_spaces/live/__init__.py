"""Recipes written into live models."""
