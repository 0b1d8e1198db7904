"""A response matrix of this campaign's own: landmarks and random merges of its space, scored on all search items."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from evomerge.campaign import CampaignError
from evomerge.campaign.past import MAX_FAILURES_IN_A_ROW
from evomerge.candidate import Candidate, Failure
from evomerge.responses.files import KeptRow, keep_row, kept_rows
from evomerge.seeds import stream
from evomerge.workers import WorkerPool
from fitness.errors import FitnessError
from fitness.reduction.response_matrix import ResponseMatrix
from fitness.scores import Budget
from search_spaces.errors import SpaceError
from search_spaces.operators.recipe_facts import merge_shares
from search_spaces.spaces.space import SearchSpace

_LOG = logging.getLogger(__name__)
Watch = Callable[[int, int], object]


def respondents(space: SearchSpace[np.ndarray], n: int, seed: int) -> list[Candidate]:
    """Return n models: the landmarks, then merges at random places of the space; the first of more are the same."""
    dim = len(space.gene_names())
    if not dim:
        raise SpaceError("reduce: expected a space with genes, found one without (niches): give scores with --matrix")
    landmarks = [Candidate(i, landmark.recipe, landmark.name) for i, landmark in enumerate(space.landmarks())]
    random = [Candidate(i, space.decode(stream(seed, "reduce", str(i)).random(dim))) for i in range(len(landmarks), n)]
    return [*landmarks, *random][:n]


def name_of(candidate: Candidate) -> str:
    """Return what the matrix calls a model."""
    return candidate.label or f"random {candidate.number}"


def collect_responses(
    candidates: Sequence[Candidate],
    pool: WorkerPool,
    directory: Path,
    *,
    items: tuple[str, ...],
    content: str,
    watch: Watch,
) -> ResponseMatrix:
    """Score every candidate that the directory has no row of, and return all rows; failed candidates have none."""
    rows = kept_rows(directory)
    _check_kept(rows, candidates, items, content, directory)
    waiting = deque(c for c in candidates if c.number not in rows)
    running = failures_in_a_row = 0
    watch(len(rows), len(candidates))
    while waiting or running:
        while waiting and pool.free > 0:
            pool.submit(waiting.popleft(), Budget("search", items))
            running += 1
        for done in pool.wait():
            running -= 1
            if isinstance(done, Failure):
                _LOG.warning("%s failed (%s): %s", name_of(done.candidate), done.stage, done.reason)
                failures_in_a_row += 1
                if failures_in_a_row == MAX_FAILURES_IN_A_ROW:
                    raise CampaignError(
                        f"{MAX_FAILURES_IN_A_ROW} different merges failed in a row; the last one at stage "
                        f"{done.stage}: {done.reason}. {len(rows)} rows are kept: mend the cause and run it again"
                    )
                continue
            failures_in_a_row = 0
            candidate = done.candidate
            row = KeptRow(candidate.number, name_of(candidate), candidate.recipe.digest, content, done.scores)
            keep_row(directory, row)
            rows[row.number] = row
            watch(len(rows), len(candidates))
    kept = [rows[c.number] for c in candidates if c.number in rows]
    shares = {name_of(c): known for c in candidates if (known := merge_shares(c.recipe)) is not None}
    return ResponseMatrix(tuple(r.model for r in kept), items, np.stack([r.scores.values for r in kept]), shares)


def _check_kept(
    rows: dict[int, KeptRow], candidates: Sequence[Candidate], items: tuple[str, ...], content: str, directory: Path
) -> None:
    for candidate in candidates:
        row = rows.get(candidate.number)
        if row is None:
            continue
        if (row.recipe, row.content, row.scores.item_ids) != (candidate.recipe.digest, content, items):
            what = "another merge" if row.recipe != candidate.recipe.digest else "other items"
            raise FitnessError(
                f"{directory}: expected rows of this campaign, found {what} in row {candidate.number}: the space, "
                "tasks, splits or seed have changed; undo that, remove the directory, or choose another --out"
            )
