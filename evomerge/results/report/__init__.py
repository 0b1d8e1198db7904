"""What a person looks at: figures and one self-contained page."""

from evomerge.results.report.html import report
from evomerge.results.report.plots import Plots

__all__ = ["Plots", "report"]
