"""What a person looks at: figures, in notebooks and as PNG; the page is frozen by `evomerge.results.pages`."""

from evomerge.results.report.plots import Plots

__all__ = ["Plots"]
