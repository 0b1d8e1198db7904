"""Searches over choices and numbers."""
