"""Merge methods on one tensor: pure functions, one registry."""
