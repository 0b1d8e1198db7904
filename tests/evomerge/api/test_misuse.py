"""What a user hands to a search, a study or a run by mistake is refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evomerge as em
from tests.evomerge.api.searchers import OneScale, Steps
from tests.evomerge.killing import contents

Searched = Callable[..., em.Run]


class Other(Steps):
    """Of another class."""


class Falsy(Steps):
    """Without a length, so to speak."""

    def __len__(self) -> int:
        return 0


def test_a_run_goes_on_with_what_it_began_with_and_nothing_else(searched: Searched) -> None:
    run = searched()
    before = contents(Path("run/archive.sqlite"))
    space = OneScale("base", {"alpha": "a"})
    for wrong in ({"optimiser": Steps(6)}, {"optimizer": Steps(6)}, {"optimiser": "random"}, {"space": space}):
        with pytest.raises(em.ConfigError, match="expected none, as this search began with the kind") as caught:
            run.resume(10, **wrong)
        assert "\n" not in str(caught.value)
    own = searched(optimiser=Steps(6), evaluations=6, run_dir="own")
    for other in (Other(6), "random", em.optimisers.CmaEs()):
        with pytest.raises(em.ConfigError, match=r"expected the object of .*:Steps that this search began with, found"):
            own.resume(8, optimiser=other)
    assert own.resume(8, optimizer=Steps(6)).n_candidates == 8
    assert contents(Path("run/archive.sqlite")) == before


def test_an_optimiser_that_is_false_searches_and_either_spelling_will_do(arguments: dict[str, Any]) -> None:
    optimiser = Falsy(6)
    del arguments["optimiser"]
    run = em.search(**arguments, optimizer=optimiser)
    assert optimiser.told == [5, 6, 7]
    with em.Study(**{**arguments, "evaluations": 9}, optimizer=Falsy(6)) as study:
        study.run()
    assert run.n_candidates == 9
    with pytest.raises(em.ConfigError, match="expected optimiser or optimizer, found both"):
        em.search(**arguments, optimiser="random", optimizer="random")


def test_scores_of_ones_own_are_of_all_items_and_finite(arguments: dict[str, Any]) -> None:
    with em.Study(**arguments) as study:
        candidate = study.ask()
        assert candidate is not None
        done = study.score(candidate)
        assert isinstance(done, em.Scored)
        good = dict.fromkeys(done.scores.item_ids, 0.25)
        first = done.scores.item_ids[0]
        few = {item: 0.25 for item in good if item != first}
        for bad, words in (
            (few, f"found none of '{first}'"),
            ({**good, "mine/1": 0.5}, "found one of 'mine/1', which is not among them"),
            ({**good, first: float("nan")}, f"found nan of '{first}'"),
            ({**good, first: None}, f"found None of '{first}'"),
            ({}, "found none of"),
            (0.5, "found 0.5"),
        ):
            with pytest.raises(em.EvomergeError, match=words):
                study.tell(candidate, bad)  # type: ignore[arg-type]
        study.tell(candidate, dict(reversed(good.items())))
        with pytest.raises(em.EvomergeError, match="found candidate 0, which was told already"):
            study.tell(candidate, good)
    assert em.load("run").candidates[0].state == "told"


def test_a_study_scores_after_it_was_interrupted(arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with em.Study(**arguments) as study:
        candidate = study.ask()
        assert candidate is not None

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("evomerge.workers.worker.Worker.evaluate", interrupted)
            with pytest.raises(KeyboardInterrupt):
                study.score(candidate)
        assert isinstance(study.score(candidate), em.Scored)
        study.run(1)
        study.run()
    assert [row.state for row in em.load("run").candidates] == ["told"] * 8


def test_a_report_is_a_file(searched: Searched, tmp_path: Path) -> None:
    run = searched(evaluations=5)
    with pytest.raises(em.EvomergeError, match="expected a file for the report, found a directory"):
        run.report(tmp_path)


def test_genes_outside_of_a_space_of_ours_are_refused(searched: Searched) -> None:
    class Outside(Steps):
        def ask(self, n: int) -> Any:
            return [genome + 1.0 for genome in super().ask(n)]

    with pytest.raises(em.EvomergeError, match=r"Outside\.ask\(1\): expected genes in \[0, 1\]"):
        searched(optimiser=Outside(6))
    assert em.load("run").n_candidates == 5
