"""Scores of many models on many items, for reduced benchmarks."""

from evomerge.responses.collect import collect_responses, respondents
from evomerge.responses.files import KeptRow, kept_rows, read_matrix

__all__ = ["KeptRow", "collect_responses", "kept_rows", "read_matrix", "respondents"]
