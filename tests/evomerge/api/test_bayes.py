"""Bayesian optimisation end to end: own items are its default, and a resume goes on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

import evomerge as em
from tests.fitness.conftest import completions, write_jsonl

Searched = Callable[..., em.Run]


def genomes(run: em.Run) -> list[list[float]]:
    with run.archive() as archive:
        return [np.asarray(c.genome).tolist() for c in archive.candidates() if c.genome is not None]


def test_candidates_answer_items_of_their_own_and_a_resumed_search_is_the_same(searched: Searched) -> None:
    write_jsonl(Path("answers.jsonl"), completions(40))
    tasks = [{"name": "answers", "tasks": ["answers.jsonl"]}, {"name": "length", "cost": "tokens"}]
    options = {"objectives": tasks, "optimiser": em.optimisers.Bayes(initial=4), "budget": {"items": 6}}
    whole = searched(**options, evaluations=10)
    resumed = searched(**options, evaluations=7, run_dir="again").resume(10)
    assert genomes(whole) == genomes(resumed)
    with whole.archive() as archive:
        sets = {frozenset(items) for _, items in archive.answered("search")}
    assert len(sets) > 4
    assert len({str(genome) for genome in genomes(whole)}) == len(genomes(whole))
