"""Benchmark items from every source."""
