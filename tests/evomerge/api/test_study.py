"""A search by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evomerge as em
from tests.evomerge.killing import contents

Searched = Callable[..., em.Run]
NSGA2 = {"kind": "nsga2", "population": 4}


def test_by_hand_is_what_a_run_does_bit_for_bit(searched: Searched, arguments: dict[str, Any]) -> None:
    run = searched(optimiser=NSGA2, evaluations=14)
    with em.Study(**{**arguments, "optimiser": NSGA2, "evaluations": 14, "run_dir": "hand"}) as study:
        while (candidate := study.ask()) is not None:
            study.tell(candidate, study.score(candidate))
    assert contents(Path("hand/archive.sqlite")) == contents(run.directory / "archive.sqlite")
    assert study.result.n_candidates == 14


def test_a_study_goes_on_by_itself_and_where_it_was_left(arguments: dict[str, Any]) -> None:
    with em.Study(**arguments) as study:
        study.run(6)
    with em.Study(**arguments) as study:
        assert study.result.n_candidates == 6
        study.run()
    assert em.load("run").n_candidates == 8


def test_scores_of_ones_own_are_told(arguments: dict[str, Any]) -> None:
    with em.Study(**arguments) as study:
        candidate = study.ask()
        assert candidate is not None
        done = study.score(candidate)
        assert isinstance(done, em.Scored)
        study.tell(candidate, dict.fromkeys(done.scores.item_ids, 0.25))
    row = em.load("run").candidates[0]
    assert row.estimate is not None
    assert [o.value for o in row.estimate.objectives] == [0.25, 0.25]
    assert em.load("run").candidates[1].state == "pending"


def test_a_closed_study_says_so(arguments: dict[str, Any]) -> None:
    study = em.Study(**arguments)
    study.close()
    study.close()
    with pytest.raises(em.EvomergeError, match="expected an open one, found it closed"):
        study.ask()


def test_callbacks_of_a_study_are_told(arguments: dict[str, Any]) -> None:
    events: list[object] = []
    with em.Study(**arguments, callbacks=[events.append]) as study:
        study.run(3)
    assert sum(isinstance(event, em.CandidateTold) for event in events) == 3
