"""Was the screen worth its tokens? How well divergence from the experts ranks merges as their scores do.

Scores are known of those only that the screen and the rungs let through, which are alike; what they would be of all is
what `correlation_before_selection` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evomerge.archive import Archive
from evomerge.results.recorded import estimates
from fitness.scores import Estimate, ItemScores
from fitness.statistics import RankCorrelation, rank_correlation
from fitness.statistics.truncated_correlation import correlation_before_selection


@dataclass(frozen=True)
class ScreenAgreement:
    """What is known of a campaign's screen."""

    n_screened: int  # candidates with a divergence
    n_set_aside: int  # those of them that answered no item for it
    # Spearman's, of minus the mean divergence over the screen's prompts with the mean of the objectives, as if all were
    # scored; None for too few
    correlation: RankCorrelation | None
    n_items: int | None = None  # that the scores are of, where too few answered all of them
    among_scored: RankCorrelation | None = None  # the same among those who answered these items, uncorrected

    @property
    def in_words(self) -> str:
        """Two or three sentences."""
        told = f"The screen set {self.n_set_aside} of {self.n_screened} candidates aside."
        if self.correlation is None:
            return f"{told} Too few others were scored whole to tell whether divergence ranks them as their scores do."
        r, whole = self.correlation, "whole" if self.n_items is None else f"on {self.n_items} items"
        told += (
            " Agreement with the experts ranks as the mean score does with Spearman's "
            f"r = {r.value:+.2f} (95 % interval {r.low:+.2f} to {r.high:+.2f})"
        )
        if self.among_scored is None or r.n == self.n_screened:
            return f"{told}, among {r.n} that were scored {whole}."
        return (
            f"{told}, by the divergences of all and the scores of {r.n} that were scored {whole}. It is corrected for "
            "how these were chosen, as if the relation were a straight line also where nobody was scored; among these "
            f"{r.n} alone it is {self.among_scored.value:+.2f}."
        )

    def as_json(self) -> dict[str, Any]:
        """Return what `evomerge pareto --json` prints."""
        return {
            "screened": self.n_screened,
            "set_aside": self.n_set_aside,
            "rank_correlation": None if self.correlation is None else asdict(self.correlation),
            "items": self.n_items,
            "among_scored": None if self.among_scored is None else asdict(self.among_scored),
        }


def read_screen_agreement(archive: Archive) -> ScreenAgreement | None:
    """Return what an archive knows of its screen; None where nobody was screened."""
    # Scores on the screen are minus divergences: higher is better, as everywhere.
    agreement = {n: float(r.scores.values.mean()) for n, r in archive.screened().items() if r.scores is not None}
    if not agreement:
        return None
    known = {n: estimate for n, estimate in estimates(archive, "search").items() if n in agreement}
    stops = [estimate.stopped for estimate in known.values()]
    n_aside = sum(stop is not None and stop.reason == "screen" for stop in stops)
    sizes, measures = _measures(archive, list(agreement), known)
    while measures:
        correlation = correlation_before_selection([*agreement.values()], measures)
        if correlation is not None:
            break
        sizes, measures = sizes[:-1], measures[:-1]
    if not measures:
        return ScreenAgreement(len(agreement), n_aside, None)
    scored = [(a, score) for a, score in zip(agreement.values(), measures[-1], strict=True) if not np.isnan(score)]
    among = rank_correlation(*zip(*scored, strict=True))
    whole = among if len(scored) == len(agreement) else correlation
    return ScreenAgreement(len(agreement), n_aside, whole, sizes[-1], among)


def _measures(
    archive: Archive, numbers: Sequence[int], known: Mapping[int, Estimate]
) -> tuple[list[int | None], list[list[float]]]:
    """Return what candidates were cut by, one after the other: of how many items (None: all) it is, and its values.

    The mean of the items of each rung, then the mean of the objectives; NaN for those who did not come so far.
    """
    cut = {n: e.stopped.n_items for n, e in known.items() if e.stopped is not None and e.stopped.reason == "rung"}
    means = {n: estimate.mean for n, estimate in known.items() if estimate.stopped is None}
    scores = {n: archive.scores(n, "search") for n in (*cut, *means)} if cut else {}
    rungs = {size: scores[n] for n, size in cut.items()}
    sizes: list[int | None] = [*sorted(rungs), None]
    rows = [[_mean_of(rungs[size], scores.get(n)) for n in numbers] for size in sorted(rungs)]
    values = np.array([*rows, [means.get(n, np.nan) for n in numbers]])
    lacking = np.logical_or.accumulate(np.isnan(values), axis=0)  # an item that a rung has may be missing
    return sizes, np.where(lacking, np.nan, values).tolist()


def _mean_of(rung: ItemScores | None, scores: ItemScores | None) -> float:
    """Return the mean of the items of a rung; NaN where one of them was not answered."""
    if rung is None or scores is None:
        return np.nan
    value_of = dict(zip(scores.item_ids, scores.values.tolist(), strict=True))
    return float(np.mean([value_of.get(item, np.nan) for item in rung.item_ids]))
