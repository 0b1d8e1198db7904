"""The benchmark of proposals."""

from __future__ import annotations

from experiments.benchmarks.proposal import seconds_of_proposals


def test_what_is_proposed_after_the_same_answers_is_the_same_bit_for_bit() -> None:
    seconds, digest = seconds_of_proposals(24, 2, 3)
    assert len(seconds) == 3
    assert seconds_of_proposals(24, 2, 3)[1] == digest
