"""A candidate of an archive unpacks its recipe when it is first asked for, and knows its digest before."""

from __future__ import annotations

import copy
from functools import partial

import pytest

from evomerge.archive.codec import pack_recipe, unpack_recipe
from evomerge.candidate import Candidate
from tests.evomerge.toy import weights_recipe

RECIPE = weights_recipe(0.25, 0.75)


def test_a_recorded_recipe_is_unpacked_once_and_only_when_it_is_asked_for() -> None:
    calls = []

    def unpack() -> object:
        calls.append(1)
        return RECIPE

    candidate = Candidate.recorded(3, unpack, bytes.fromhex(RECIPE.digest), label=None, proposal=1, genome=None)
    assert candidate.recipe_digest == RECIPE.digest
    assert not calls
    assert candidate.recipe is candidate.recipe is RECIPE
    assert calls == [1]


def test_it_can_be_copied_and_sent_packed_or_not() -> None:
    unpack = partial(unpack_recipe, pack_recipe(RECIPE))
    candidate = Candidate.recorded(3, unpack, None, label="alpha", proposal=None, genome=None)
    for found in (copy.deepcopy(candidate), candidate):
        assert (found.number, found.label, found.recipe, found.recipe_digest) == (3, "alpha", RECIPE, RECIPE.digest)
    assert copy.deepcopy(candidate).recipe == RECIPE
    with pytest.raises(AttributeError):
        _ = Candidate(3, RECIPE).recipes  # type: ignore[attr-defined]
