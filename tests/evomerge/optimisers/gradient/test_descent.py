"""A descent notes its snapshots, ends early, and goes on where it was killed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evomerge.optimisers import OptimiserError
from evomerge.optimisers.gradient.descent import NOTE, Descent
from evomerge.optimisers.gradient.descent_search import DescentSearch
from evomerge.optimisers.gradient.steppers import Adam
from evomerge.optimisers.terrain import Length, NotesInMemory, Terrain
from evomerge.testing.optimiser_contract import evaluation, failure
from tests.evomerge.toy_run import toy_terrain


def never() -> Terrain:
    raise AssertionError("a model was built")


def descent(notes: NotesInMemory, make: Any = toy_terrain, **length: Any) -> Descent:
    whole = Length(**{"steps": 20, "every": 5, "patience": 0, **length})
    return Descent(make, Adam(0.02), length=whole, initial=0.5, notes=notes)


def told(found: Descent) -> list[tuple[int, list[list[float]], float]]:
    return [(s.step, s.values.tolist(), s.held_back) for s in found]


def test_a_descent_has_its_start_and_a_snapshot_every_few_steps() -> None:
    snapshots = list(descent(NotesInMemory(), steps=12))
    assert [snapshot.step for snapshot in snapshots] == [0, 5, 10, 12]
    assert snapshots[-1].held_back < snapshots[0].held_back


def test_what_was_noted_is_never_computed_again() -> None:
    notes = NotesInMemory()
    whole = told(descent(notes))
    assert told(descent(notes, never)) == whole


def test_a_descent_that_dies_in_a_step_goes_on_bit_for_bit() -> None:
    notes, whole = NotesInMemory(), told(descent(NotesInMemory()))

    def dying() -> Terrain:
        real = toy_terrain()

        def learn(values: np.ndarray, step: int) -> tuple[float, np.ndarray]:
            if step == 13:
                raise KeyboardInterrupt
            return real.learn(values, step)

        return replace(real, learn=learn)

    with pytest.raises(KeyboardInterrupt):
        list(descent(notes, dying))
    steps: list[int] = []

    def counting() -> Terrain:
        real = toy_terrain()
        return replace(real, learn=lambda values, step: (steps.append(step), real.learn(values, step))[1])

    assert told(descent(notes, counting)) == whole
    assert steps == list(range(10, 20))


def test_a_descent_ends_once_the_items_held_back_say_so_and_the_best_is_the_least_loss_on_them() -> None:
    losses = iter([5.0, 3.0, 2.0, 2.5, 2.0, 1.0])

    def make() -> Terrain:
        return replace(toy_terrain(), held_back=lambda values: next(losses))

    stopped = descent(NotesInMemory(), make, steps=1000, patience=2)
    assert stopped.best().step == 10
    assert [snapshot.step for snapshot in stopped] == [0, 5, 10, 15, 20]


def test_auto_begins_at_the_best_scale_and_coefficients_stay_within_their_bounds() -> None:
    def make() -> Terrain:
        return replace(toy_terrain(), high=np.array([[0.4], [1.0]]))

    length = Length(300, 100, 0)
    found = list(Descent(make, Adam(0.02), length=length, initial="auto", notes=NotesInMemory()))
    assert found[0].values.tolist() == [[0.4], [0.5]]
    assert found[-1].values[0, 0] == 0.4
    assert found[-1].values[1, 0] == pytest.approx(0.3, abs=0.06)


def test_a_loss_that_is_no_number_ends_the_descent_in_words() -> None:
    def make() -> Terrain:
        return replace(toy_terrain(), learn=lambda values, step: (float("nan"), values))

    with pytest.raises(OptimiserError, match="finite loss at step 0 of the descent, found nan; lower rate"):
        list(descent(NotesInMemory(), make))


def test_a_search_proposes_each_snapshot_once_and_builds_nothing_before_it_is_asked() -> None:
    search = DescentSearch(descent(NotesInMemory(), steps=10))
    proposed = []
    while genomes := search.ask(3):
        assert len(genomes) == 1
        proposed += genomes
    assert [genome.tolist() for genome in proposed] == [
        s.values.ravel().tolist() for s in descent(NotesInMemory(), steps=10)
    ]
    assert search.ask(0) == []
    unasked = DescentSearch(descent(NotesInMemory(), never))
    unasked.tell([])


def test_outcomes_change_nothing_and_only_pending_proposals_are_told() -> None:
    search = DescentSearch(descent(NotesInMemory()))
    (first,) = search.ask(1)
    search.tell([failure(0, first)])
    with pytest.raises(OptimiserError, match="each proposal once, found 0 again"):
        search.tell([evaluation(0, first)])
    with pytest.raises(OptimiserError, match="found 1, which was never asked"):
        search.tell([evaluation(1, first)])


def test_notes_are_lossless() -> None:
    notes = NotesInMemory()
    first = list(descent(notes))[-1]
    assert "NaN" in (notes.noted(NOTE) or "")  # the start has no loss of steps
    again = list(descent(notes, never))[-1]
    assert np.array_equal(first.values, again.values)
    assert np.array_equal(first.genome, again.genome)


@pytest.mark.parametrize("text", ["{", "[]", '{"snapshots": [[1]], "state": []}', '{"snapshots": 7}'])
def test_a_damaged_record_is_one_message_and_no_new_descent(text: str) -> None:
    notes = NotesInMemory()
    notes.note(NOTE, text)
    with pytest.raises(OptimiserError, match="expected the record of a descent, found a damaged one"):
        descent(notes, never)
