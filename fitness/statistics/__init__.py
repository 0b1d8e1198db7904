"""How much better one model is than another on the same items, and how alike two measures rank models."""

from fitness.statistics.comparison import Difference, Flips, PairedComparison, paired_difference
from fitness.statistics.rank_correlation import RankCorrelation, rank_correlation
from fitness.statistics.rare_events import limits_of_objective

__all__ = [
    "Difference",
    "Flips",
    "PairedComparison",
    "RankCorrelation",
    "limits_of_objective",
    "paired_difference",
    "rank_correlation",
]
