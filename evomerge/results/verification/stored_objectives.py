"""Whether objectives that an archive records are what the item scores beside them give."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial

from evomerge.archive import Archive
from evomerge.candidate import Candidate
from evomerge.results.recorded import estimates
from fitness.errors import FitnessError
from fitness.protocols import Estimator
from fitness.scores import Estimate
from search_spaces.operators.recipe_facts import merge_shares

_ROUNDING = 1e-9


def check_objectives(archive: Archive, estimator: Estimator, candidates: Sequence[Candidate]) -> list[str]:
    """Return a line about the candidates whose objectives on search items are not what their scores give.

    Those that a schedule stopped are left out: what they rank by is no estimate.
    """
    known, wrong = estimates(archive, "search"), []
    for candidate in candidates:
        recorded, scores = known.get(candidate.number), archive.scores(candidate.number, "search")
        if recorded is None or scores is None or recorded.stopped is not None:
            continue
        with contextlib.suppress(FitnessError):
            found = estimator.estimate(scores, shares=partial(merge_shares, candidate.recipe))
            if differing := _differing(recorded, found):
                wrong.append(f"candidate {candidate.number}: {differing}")
    if not wrong:
        return []
    more = f" (and {len(wrong) - 1} more candidates)" if len(wrong) > 1 else ""
    return [f"objectives in the archive are not what the scores beside them give: {wrong[0]}{more}"]


def _differing(recorded: Estimate, found: Estimate) -> str:
    given = {objective.name: objective.value for objective in found.objectives}
    return ", ".join(
        f"{o.name} is {o.value:.6g} there, {given[o.name]:.6g} by its scores"
        for o in recorded.objectives
        if o.name in given and abs(o.value - given[o.name]) > _ROUNDING
    )
