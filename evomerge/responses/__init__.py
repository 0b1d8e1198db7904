"""Scores of many models on many items, for reduced benchmarks."""
