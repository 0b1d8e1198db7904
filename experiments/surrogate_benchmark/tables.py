"""What searches are worth beside one of them: mean differences paired by seed, with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import t as student

from experiments.surrogate_benchmark.runs import Row, Setting

RANDOM = "random"
MEASURES: Mapping[Setting, tuple[str, ...]] = {"mean": ("winner",), "front": ("hypervolume", "winner")}


@dataclass(frozen=True)
class Cell:
    """One search at one budget, in points (hundredths).

    Attributes:
        value: mean over the seeds.
        beside: the search that it is compared with, random search if nothing is said.
        over: mean difference to that one's of the same seeds; 0 of itself.
        half_width: of that difference's 95 % interval (Student's t); NaN where one seed was run.
        seeds: how many searches, of which the other has the same.
    """

    matrix: str
    setting: Setting
    measure: str
    search: str
    beside: str
    evaluations: int
    value: float
    over: float
    half_width: float
    seeds: int

    @property
    def in_words(self) -> str:
        """The difference and its interval; of the search that others are compared with the value."""
        if self.search == self.beside:
            return f"{self.value:.1f}"
        width = "" if math.isnan(self.half_width) else f" ± {self.half_width:.1f}"
        text = f"{self.over:+.1f}{width}"
        return f"**{text}**" if self.over > self.half_width else text


def cells(rows: Iterable[Row], beside: str = RANDOM) -> list[Cell]:
    """Return a cell for everything that was run, in the order of the rows."""
    found: dict[tuple[str, Setting, str, int], dict[int, Row]] = {}
    for row in rows:
        found.setdefault((row.matrix, row.setting, row.search, row.evaluations), {})[row.seed] = row
    made = []
    for (matrix, setting, search, evaluations), own in found.items():
        others = found.get((matrix, setting, beside, evaluations), {})
        seeds = sorted(own.keys() & others.keys())
        for measure in MEASURES[setting] if seeds else ():
            values = np.array([100.0 * getattr(own[seed], measure) for seed in seeds])
            over = values - [100.0 * getattr(others[seed], measure) for seed in seeds]
            made.append(
                Cell(
                    matrix,
                    setting,
                    measure,
                    search,
                    beside,
                    evaluations,
                    float(values.mean()),
                    float(over.mean()),
                    _half_width(over),
                    len(seeds),
                )
            )
    return made


def _half_width(values: np.ndarray) -> float:
    n = len(values)
    return float(student.ppf(0.975, n - 1) * values.std(ddof=1) / n**0.5) if n > 1 else math.nan


def tables(found: Sequence[Cell]) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Yield titles and rows, the header first: a table for each matrix, setting and measure."""
    for matrix, setting, measure in dict.fromkeys((c.matrix, c.setting, c.measure) for c in found):
        own = [c for c in found if (c.matrix, c.setting, c.measure) == (matrix, setting, measure)]
        budgets = sorted({c.evaluations for c in own})
        rows: list[tuple[str, ...]] = [("search", *(f"{n} evaluations" for n in budgets), "seeds")]
        for search in dict.fromkeys(c.search for c in own):
            at = {c.evaluations: c for c in own if c.search == search}
            seeds = sorted({c.seeds for c in at.values()})
            words = [at[n].in_words if n in at else "" for n in budgets]
            rows.append((search, *words, " to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))))
        yield f"{matrix}, {measure} ({'one objective' if setting == 'mean' else 'an objective for each task'})", rows


def as_json(found: Sequence[Cell]) -> list[dict[str, object]]:
    """Return the cells, rounded to what their intervals are worth."""
    return [
        {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(cell).items()}
        for cell in found
    ]
