"""Signals in a campaign: candidates answer and are told the same as without; only the pooled model learns from it."""

from __future__ import annotations

from typing import Any

import pytest

import evomerge as em
from evomerge.config.errors import ConfigError
from fitness.errors import FitnessError
from tests.evomerge.api.test_costs import Searched

OWN: dict[str, Any] = {"budget": {"items": 4}, "schedule": "own_items"}
WORDS = {"name": "words", "tasks": ["words.jsonl"]}


def sums(**more: Any) -> list[dict[str, Any]]:
    return [{"name": "sums", "tasks": ["sums.jsonl"], **more}, WORDS]


def told(run: em.Run) -> list[tuple[Any, ...]]:
    """Return every candidate's estimate, and its scores of what is no signal."""
    with run.archive() as archive:
        scores = [archive.scores(record.number, "search") for record in archive.records("search")]
        plain = [
            {i: v for i, v in zip(one.item_ids, one.values.tolist(), strict=True) if ":signal/" not in i}
            for one in scores
            if one is not None
        ]
        return list(zip([r.estimate for r in archive.records("search")], plain, strict=True))


def test_estimates_are_bit_equal_with_and_without_signals_and_pooled_ones_gain_them(searched: Searched) -> None:
    plain = searched(objectives=sums(), run_dir="plain", evaluations=12, **OWN)
    run = searched(objectives=sums(signal="margin"), run_dir="signals", evaluations=12, **OWN)
    assert told(run) == told(plain)
    with run.archive() as archive:
        for _, items in archive.answered("search"):
            beside = [item for item in items if ":signal/" in item]
            assert beside == [i.replace("sums/", "sums:signal/") for i in items if i.startswith("sums/")]
            assert beside
    assert {o.name for estimate, _ in told(run) if estimate for o in estimate.objectives} == {"sums", "words"}
    assert run.verify(top=2).rows


def test_a_search_with_signals_goes_on_bit_for_bit(searched: Searched) -> None:
    whole = searched(objectives=sums(signal="margin"), run_dir="whole", evaluations=10, **OWN)
    begun = searched(objectives=sums(signal="margin"), run_dir="begun", evaluations=6, **OWN)
    assert told(begun.resume(10)) == told(whole)


def test_bayes_proposes_by_signals_too_and_goes_on_bit_for_bit(searched: Searched) -> None:
    bayes: dict[str, Any] = {"optimiser": em.optimisers.Bayes(initial=4), "budget": {"items": 4}}
    whole = searched(objectives=sums(signal="margin"), run_dir="whole", evaluations=12, **bayes)
    begun = searched(objectives=sums(signal="margin"), run_dir="begun", evaluations=9, **bayes)
    assert told(begun.resume(12)) == told(whole)
    plain = searched(objectives=sums(), run_dir="plain", evaluations=12, **bayes)
    assert told(plain) != told(whole)


def test_signals_beside_another_schedule_or_of_a_cost_are_refused(searched: Searched) -> None:
    with pytest.raises(ConfigError, match="expected own_items beside an objective's signal, found 'all_items'"):
        searched(objectives=sums(signal="margin"))
    with pytest.raises(ConfigError, match="no such key beside cost"):
        searched(objectives=[*sums(), {"name": "length", "cost": "tokens", "signal": "margin"}], **OWN)


def test_a_task_without_signals_is_named(searched: Searched) -> None:
    objectives = [{"name": "unsure", "tasks": ["sums.jsonl:entropy"], "signal": "margin"}, WORDS]
    with pytest.raises(
        FitnessError, match=r"signal: margin: expected questions with choices .* found task 'sums:entropy'"
    ):
        searched(objectives=objectives, **OWN)
