"""Was the screen worth its tokens? How well divergence from the experts ranks merges as their scores do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from evomerge.archive import Archive
from evomerge.results.recorded import estimates
from fitness.statistics import RankCorrelation, rank_correlation


@dataclass(frozen=True)
class ScreenAgreement:
    """What is known of a campaign's screen."""

    n_screened: int  # candidates with a divergence
    n_set_aside: int  # those of them that answered no item for it
    # Spearman's, of minus the mean divergence over the screen's prompts with the mean of the objectives, among
    # candidates that were scored whole; None for too few
    correlation: RankCorrelation | None

    @property
    def in_words(self) -> str:
        """One or two sentences."""
        told = f"The screen set {self.n_set_aside} of {self.n_screened} candidates aside."
        if self.correlation is None:
            return f"{told} Too few others were scored whole to tell whether divergence ranks them as their scores do."
        r = self.correlation
        return (
            f"{told} Among {r.n} that were scored whole, agreement with the experts ranks as the mean score does with "
            f"Spearman's r = {r.value:+.2f} (95 % interval {r.low:+.2f} to {r.high:+.2f})."
        )

    def as_json(self) -> dict[str, Any]:
        """Return what `evomerge pareto --json` prints."""
        correlation = None if self.correlation is None else asdict(self.correlation)
        return {"screened": self.n_screened, "set_aside": self.n_set_aside, "rank_correlation": correlation}


def read_screen_agreement(archive: Archive) -> ScreenAgreement | None:
    """Return what an archive knows of its screen; None where nobody was screened."""
    # Scores on the screen are minus divergences: higher is better, as everywhere.
    agreement = {n: float(r.scores.values.mean()) for n, r in archive.screened().items() if r.scores is not None}
    if not agreement:
        return None
    known = estimates(archive, "search")
    whole = [n for n in agreement if n in known and known[n].stopped is None]
    stops = [known[n].stopped for n in agreement if n in known]
    return ScreenAgreement(
        len(agreement),
        sum(stop is not None and stop.reason == "screen" for stop in stops),
        rank_correlation([agreement[n] for n in whole], [known[n].mean for n in whole]),
    )
