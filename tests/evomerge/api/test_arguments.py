"""What callers get wrong is told in one sentence that names the argument."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evomerge as em
from tests.conftest import Family

Searched = Callable[..., em.Run]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parents": 3}, r"^parents: expected a list of models, found 3"),
        ({"parents": [1, 2]}, r"^parents\[0\]: expected a directory"),
        ({"parents": "./x"}, r"^parents: expected at least 2|nothing at"),
        ({"base": 3}, r"^base: expected a directory"),
        ({"objectives": 3}, r"^objectives: expected a mapping"),
        ({"objectives": {"x": None}}, r"^objectives\['x'\]: expected a task"),
        ({"objectives": [None]}, r"^objectives\[0\]: expected a task"),
        ({"budget": 3}, r"^budget: expected a mapping, found 3"),
        ({"run_dir": 3}, r"^run_dir: expected a path, found 3"),
        ({"callbacks": None}, r"^callbacks: expected a function"),
        ({"callbacks": [3]}, r"^callbacks: expected a function"),
        ({"evaluations": None, "evalutions": 3}, r"evalutions: expected one of .*did you mean 'evaluations'"),
        (
            {"estimator": "nope"},
            r"estimator: expected module:name, or an entry point of evomerge.estimators, found 'no",
        ),
        ({"estimator": repr}, r"^estimator: expected text"),
    ],
)
def test_a_search_names_the_argument_that_is_of_the_wrong_kind(
    searched: Searched, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(em.ConfigError, match=message):
        searched(**changes)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: em.load(None), r"^directory: expected a path"),
        (lambda: em.merge(3, "out"), r"^recipe: expected a path"),
        (em.plan, r"^parents: expected this argument"),
        (lambda: em.plan(3), r"^campaign: expected a path"),
        (lambda: em.plan("x.yaml", parents=["a"]), r"^parents: expected no such argument beside a campaign"),
        (lambda: em.search.from_yaml(None), r"^path: expected a path"),
        (lambda: em.evaluate("x", tasks=None), r"^tasks: expected a task"),
        (lambda: em.evaluate("x", tasks=["y"], limit=-1), r"^limit: expected a whole number, at least 1, found -1"),
        (lambda: em.evaluate("x", tasks=["y"], limit=0), r"^limit: expected a whole number, at least 1, found 0"),
        (lambda: em.evaluate("x", tasks=["y"], prompts={"bogus": 1}), r"^prompts.bogus: expected one of apply_chat"),
        (lambda: em.evaluate("x", tasks=["y"], prompts=3), r"^prompts: expected a mapping"),
        (lambda: em.reduce("x.yaml", "out", models=9), r"^models: expected a whole number, at least 10, found 9"),
        (lambda: em.init(["one"]), r"^parents: expected two models or more"),
    ],
)
def test_every_call_names_the_argument_that_is_of_the_wrong_kind(call: Callable[[], object], message: str) -> None:
    with pytest.raises(em.ConfigError, match=message):
        call()


def test_one_task_one_callback_and_a_class_of_options_stand_for_a_list_and_an_object(searched: Searched) -> None:
    told: list[object] = []
    run = searched(
        objectives="words.jsonl",
        callbacks=told.append,
        space=em.spaces.LayerFlow,
        optimiser=em.optimisers.Random,
        evaluations=6,
    )
    assert [o.name for o in run.config.objectives] == ["words"]
    assert any(isinstance(event, em.CandidateTold) for event in told)
    again: list[object] = []
    run.resume(8, callbacks=again.append)
    assert any(isinstance(event, em.CandidateTold) for event in again)
    assert (run.config.space.kind, run.config.optimiser.kind) == ("layer_flow", "random")


def test_a_run_refuses_tops_splits_candidates_and_keys_that_there_are_not(searched: Searched) -> None:
    run = searched(evaluations=6)
    for top in (0, -1, "a", 2.5):
        with pytest.raises(em.ConfigError, match=r"^top: expected a whole number, at least 1"):
            run.verify(top=top)  # type: ignore[arg-type]
    with pytest.raises(em.ConfigError, match=r"^split: expected one of search, validation, test, final, found 'bogus'"):
        run.items.to_pandas("bogus")  # type: ignore[arg-type]
    with pytest.raises(em.EvomergeError, match=r"^candidate: expected a number below 6, found 99"):
        run.items.scores(99)
    for changes in ({1: 2}, 3):
        with pytest.raises(em.ConfigError, match=r"^set: expected keys and values"):
            em.search.from_yaml("run/campaign.yaml", set=changes)  # type: ignore[arg-type]
    with pytest.raises(em.ConfigError, match=r"^evaluations: expected a whole number, at least 1, found 0"):
        em.search.from_yaml("run", evaluations=0)
    assert em.search.from_yaml("run", set="budget.evaluations=7").directory == Path("run")
    assert em.load("run").n_candidates == 7
    assert repr(run.candidates) == "Candidates(7 told)"
    assert "<td>told</td>" in run.candidates._repr_html_()
    assert repr(run.items).startswith("Items(search: 7 candidates x ")
    assert "<td>search</td>" in run.items._repr_html_()


def test_objectives_and_genes_with_the_names_of_columns_have_columns_of_their_own(searched: Searched) -> None:
    names = ["mean", "mean stderr", "seconds"]
    run = searched(objectives=dict.fromkeys(names, "words.jsonl"), evaluations=6)
    table = run.candidates.to_pandas()
    assert table.columns.is_unique
    assert {"objective mean", "objective mean stderr", "objective seconds", "mean", "seconds"} <= set(table.columns)
    assert (table["objective mean"] - table["mean"]).abs().max() < 1e-12
    assert {"objective mean", "mean", "knee", "objective seconds"} <= set(run.front.to_pandas().columns)


def test_the_script_of_a_function_is_told_to_guard_its_search(arguments: dict[str, Any], family: Family) -> None:
    Path("script.py").write_text(
        "import evomerge as em\n\ndef score(model, tokenizer):\n    return {'a': 1.0, 'b': 2.0}\n\n"
        f"em.search({list(map(str, family.experts.values()))!r}, {{'s': score}}, run_dir='own')\n"
    )
    with pytest.raises(em.EvomergeError, match=r'under if __name__ == "__main__":'):
        em.evaluate(str(family.base), "python:script.py:score")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: em.optimisers.CmaEs(sigma0=-1), r"^sigma0: expected a number above 0, found -1$"),
        (lambda: em.spaces.Weights("bogus"), r"^operator.*'bogus'"),
        (lambda: em.spaces.Weights(bogus=3), r"^bogus: expected one of kind, operator"),
        (lambda: em.spaces.Weights(layer_blocks=2, groups=3), r"groups: expected a mapping, found 3"),
        (lambda: em.spaces.LayerFlow(bogus=3), r"^bogus: expected one of "),
    ],
)
def test_options_are_refused_in_our_words_where_they_are_made(make: Callable[[], object], message: str) -> None:
    with pytest.raises(em.EvomergeError, match=message):
        make()
