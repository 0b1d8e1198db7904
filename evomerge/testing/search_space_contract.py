"""What every search space must keep: subclass it and give the fixtures.

class TestWeightSpace(SearchSpaceContract):
    @pytest.fixture
    def space(self) -> SearchSpace: ...

A space whose genomes are not cube vectors overrides `genomes` as well.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search_spaces.recipes.recipe import Recipe

# The space fixture is immutable, so one per test serves all of a test's examples.
immutable_fixtures = settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


class SearchSpaceContract:
    baselines: ClassVar[list[str]] = ["uniform mean", "default TIES"]

    @pytest.fixture
    def space(self) -> Any:
        raise NotImplementedError("give the space to test")

    def genomes(self, space: Any) -> st.SearchStrategy[Any]:
        """Any genome that an optimiser may propose; corners and repeated values included."""
        gene = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0.0, 1.0))
        return st.lists(gene, min_size=space.dim, max_size=space.dim).map(
            lambda genes: np.array(genes, dtype=np.float64)
        )

    @given(data=st.data())
    @immutable_fixtures
    def test_encode_inverts_decode_on_recipes(self, space: Any, data: st.DataObject) -> None:
        recipe = space.decode(data.draw(self.genomes(space)))
        again = space.decode(space.encode(recipe))
        assert (again, again.digest) == (recipe, recipe.digest)

    @given(data=st.data())
    @immutable_fixtures
    def test_decode_is_pure(self, space: Any, data: st.DataObject) -> None:
        genome = data.draw(self.genomes(space))
        before = np.array(genome)
        assert space.decode(genome).digest == space.decode(genome).digest
        assert np.array_equal(genome, before)

    @given(data=st.data())
    @immutable_fixtures
    def test_recipes_survive_json(self, space: Any, data: st.DataObject) -> None:
        recipe = space.decode(data.draw(self.genomes(space)))
        assert Recipe.from_json(recipe.to_json()) == recipe
        assert Recipe.from_json(recipe.to_json()).digest == recipe.digest

    def test_landmarks_are_the_parents_then_the_baselines_and_all_distinct(self, space: Any) -> None:
        landmarks = space.landmarks()
        names = [landmark.name for landmark in landmarks]
        assert names == [*landmarks[0].recipe.parents, *self.baselines]
        assert len({landmark.recipe.digest for landmark in landmarks}) == len(landmarks)

    def test_a_landmark_of_a_parent_reads_that_parent_alone(self, space: Any) -> None:
        for landmark in space.landmarks()[: len(space.landmarks()[0].recipe.parents)]:
            read = {i.parent for rule in landmark.recipe.rules for i in rule.inputs}
            assert read == {landmark.name}

    def test_landmarks_survive_json(self, space: Any) -> None:
        for landmark in space.landmarks():
            assert Recipe.from_json(landmark.recipe.to_json()) == landmark.recipe
