"""Fronts of right answers against what models cost."""
