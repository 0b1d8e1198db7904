"""What candidates that were stopped early would answer to the other items, by everybody's answers so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from evomerge.archive import Archive
from evomerge.candidate import Scored
from fitness.estimation.unequal_items import filled
from fitness.scores import ItemScores

_MOST = 500  # of those who were told, the newest and every landmark


def with_expected_answers(
    waiting: Sequence[Scored], archive: Archive, items: Sequence[str], task_of: Mapping[str, str]
) -> list[ItemScores]:
    """Return the scores of those who wait on all items, task by task as `fitness.estimation.unequal_items` fills them.

    Items that nobody has answered are left out.
    """
    landmarks = {candidate.number for candidate in archive.landmarks()}
    told = [record.number for record in archive.records("search")]
    chosen = [n for i, n in enumerate(told) if n in landmarks or i >= len(told) - _MOST]
    known = [scores for number in chosen if (scores := archive.scores(number, "search")) is not None]
    answers = matrix([*(one.scores for one in waiting), *known], items)
    answered = np.isfinite(answers).any(axis=0)
    for task in dict.fromkeys(task_of[item] for item in items):
        own = answered & [task_of[item] == task for item in items]
        some = np.isfinite(answers[:, own]).any(axis=1)
        answers[np.ix_(some, own)] = filled(answers[np.ix_(some, own)])
    rows = answers[: len(waiting)]
    return [_scores(items, row) for row in rows]


def matrix(scores: Sequence[ItemScores], items: Sequence[str]) -> np.ndarray:
    """Return (n, n_items) scores, NaN where there is none."""
    place = {item: i for i, item in enumerate(items)}
    answers = np.full((len(scores), len(items)), np.nan)
    for row, one in zip(answers, scores, strict=True):
        at = [(place[item], k) for k, item in enumerate(one.item_ids) if item in place]
        if at:
            columns, values = (np.array(column) for column in zip(*at, strict=True))
            row[columns] = one.values[values]
    return answers


def _scores(items: Sequence[str], row: np.ndarray) -> ItemScores:
    known = np.flatnonzero(np.isfinite(row))
    return ItemScores(tuple(items[i] for i in known.tolist()), row[known])
