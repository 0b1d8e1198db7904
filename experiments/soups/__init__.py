"""Soups of sixteen checkpoints."""
