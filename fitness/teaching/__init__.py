"""Losses with a graph: what experts teach a merge, on search items alone."""

from fitness.teaching.lessons import Lessons, Teaching

__all__ = ["Lessons", "Teaching"]
