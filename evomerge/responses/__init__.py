"""Scores of many models on many items, for reduced benchmarks: how they are read, and who gives them.

import evomerge as em

matrix = em.responses.read_matrix(Path("scores.parquet"))
rows = em.responses.kept_rows(Path("runs/reduced.responses"))  # what `evomerge.reduce` kept
"""

from evomerge.responses.collect import collect_responses, respondents
from evomerge.responses.files import KeptRow, kept_rows, read_matrix

__all__ = ["KeptRow", "collect_responses", "kept_rows", "read_matrix", "respondents"]
