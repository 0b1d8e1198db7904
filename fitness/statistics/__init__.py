"""How much better one model is than another on the same items, and how alike two measures rank models."""

from fitness.statistics.comparison import Difference, Flips, PairedComparison, paired_difference
from fitness.statistics.rank_correlation import RankCorrelation, rank_correlation

__all__ = ["Difference", "Flips", "PairedComparison", "RankCorrelation", "paired_difference", "rank_correlation"]
