"""What scores on search items promised, and what held-out items say of the same candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evomerge.results.report.contents import Contents
from fitness.scores import Split

NORMAL_95 = 1.959964


@dataclass(frozen=True, eq=False)
class BothScores:
    """Candidates that were scored on search items and on one held-out split.

    Attributes:
        split: the held-out one.
        numbers: (n,) candidates' numbers.
        searched, held_out: (n, m) objectives, higher is better.
        searched_stderrs, held_out_stderrs: (n, m), at least 0.
    """

    split: Split
    numbers: NDArray[np.int64]
    searched: NDArray[np.float64]
    searched_stderrs: NDArray[np.float64]
    held_out: NDArray[np.float64]
    held_out_stderrs: NDArray[np.float64]

    @property
    def gaps(self) -> NDArray[np.float64]:
        """Return the (n,) means on search items less those on held-out items."""
        return np.asarray((self.searched - self.held_out).mean(axis=1))

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Return (n,) whether a gap is within its 95 % interval; both sides are uncertain, on different items."""
        squares = self.searched_stderrs**2 + self.held_out_stderrs**2
        return np.asarray(np.abs(self.gaps) <= NORMAL_95 * np.sqrt(squares.sum(axis=1)) / self.searched.shape[1])


def both_scores(contents: Contents, split: Split, numbers: Sequence[int]) -> BothScores:
    """Return those of the candidates that were scored on search items and on a held-out split."""
    scored, estimates = contents.scored, contents.held_out.get(split, {})
    found = [(number, i) for number in numbers if number in estimates and (i := scored.index(number)) is not None]
    at = np.array([i for _, i in found], dtype=np.intp)
    held_out = np.array([[[o.value, o.stderr] for o in estimates[number].objectives] for number, _ in found])
    held_out = held_out.reshape(len(found), len(scored.objectives), 2)
    return BothScores(
        split,
        np.array([number for number, _ in found], dtype=np.int64),
        scored.values[at],
        scored.stderrs[at],
        held_out[:, :, 0],
        held_out[:, :, 1],
    )


def finalists(contents: Contents) -> BothScores:
    """Return the candidates that winners were chosen among: on validation items, where there are none on test items."""
    splits: tuple[Split, ...] = ("validation", "test")
    proposed = {split: [n for n in contents.held_out.get(split, {}) if n not in contents.labels] for split in splits}
    found = [both_scores(contents, split, numbers) for split, numbers in proposed.items()]
    return found[0] if len(found[0].numbers) else found[1]


def finalists_in_words(contents: Contents) -> str:
    """Return what the finalists' gaps come to; empty before `verify`."""
    found = finalists(contents)
    n = len(found.numbers)
    if not n:
        return ""
    gap, kept = float(found.gaps.mean()), int(found.kept.sum())
    direction = "below" if gap >= 0 else "above"
    if n == 1:
        return (
            f"The finalist's mean on {found.split} items is {abs(gap):.3f} {direction} its estimate on search items, "
            f"{'within' if kept else 'outside'} the 95 % interval of the difference."
        )
    return (
        f"The means of the {n} finalists on {found.split} items are on average {abs(gap):.3f} {direction} their "
        f"estimates on search items; for {kept} of {n} the difference is within its 95 % interval."
    )
