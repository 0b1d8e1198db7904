"""What every `Fitness` must do. To test one: subclass, and give the two fixtures.

`fitness` has search, validation and test items; `model` is a model that it can score. `other_batches` is the same
fitness with another batch size, or None where there are no batches.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from fitness.errors import FitnessError
from fitness.protocols import Fitness
from fitness.scores import Budget, Split

SPLITS: tuple[Split, ...] = ("search", "validation", "test")


class FitnessContract:
    @pytest.fixture
    def fitness(self) -> Fitness:
        raise NotImplementedError

    @pytest.fixture
    def other_batches(self) -> Fitness | None:
        return None

    @pytest.fixture
    def model(self) -> nn.Module:
        raise NotImplementedError

    def test_item_ids_are_unique(self, fitness: Fitness) -> None:
        assert len(set(fitness.item_ids)) == len(fitness.item_ids) > 0

    @pytest.mark.parametrize("split", SPLITS)
    def test_splits_make_up_all_items_in_the_seeded_order(
        self, fitness: Fitness, model: nn.Module, split: Split
    ) -> None:
        parts = {s: fitness.evaluate(model, Budget(s)).item_ids for s in SPLITS}
        assert sorted(fitness.item_ids) == sorted(item for part in parts.values() for item in part)
        place = {item: i for i, item in enumerate(fitness.item_ids)}
        assert list(parts[split]) == sorted(parts[split], key=place.__getitem__)

    def test_scores_come_in_the_order_of_the_budget(self, fitness: Fitness, model: nn.Module) -> None:
        every = fitness.evaluate(model, Budget("search"))
        wanted = every.item_ids[::-2]
        some = fitness.evaluate(model, Budget("search", wanted))
        assert some.item_ids == wanted
        np.testing.assert_allclose(some.values, every.values[::-2], atol=1e-4)

    def test_the_same_weights_give_the_same_scores(self, fitness: Fitness, model: nn.Module) -> None:
        first = fitness.evaluate(model, Budget("validation"))
        assert fitness.evaluate(copy.deepcopy(model), Budget("validation")) == first

    def test_another_model_leaves_no_trace(self, fitness: Fitness, model: nn.Module) -> None:
        first = fitness.evaluate(model, Budget("search"))
        other = copy.deepcopy(model)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.mul_(-0.5)
        assert fitness.evaluate(other, Budget("search")) != first
        assert fitness.evaluate(model, Budget("search")) == first

    @pytest.mark.parametrize("held_out", ["validation", "test"])
    def test_a_held_out_item_cannot_enter_a_search_budget(
        self, fitness: Fitness, model: nn.Module, held_out: Split
    ) -> None:
        search = fitness.evaluate(model, Budget("search")).item_ids
        smuggled = fitness.evaluate(model, Budget(held_out)).item_ids[0]
        with pytest.raises(FitnessError, match="search"):
            fitness.evaluate(model, Budget("search", (*search, smuggled)))

    def test_an_unknown_or_repeated_item_is_refused(self, fitness: Fitness, model: nn.Module) -> None:
        (first, *_) = fitness.evaluate(model, Budget("search")).item_ids
        for items in (("no such/item",), (first, first), ()):
            with pytest.raises(FitnessError, match="budget"):
                fitness.evaluate(model, Budget("search", items))

    def test_scores_do_not_depend_on_the_batch_size(
        self, fitness: Fitness, other_batches: Fitness | None, model: nn.Module
    ) -> None:
        if other_batches is None:
            pytest.skip("has no batches")
        scores, others = (f.evaluate(model, Budget("search")) for f in (fitness, other_batches))
        assert scores.item_ids == others.item_ids
        np.testing.assert_allclose(scores.values, others.values, atol=1e-4)

    def test_a_model_with_nan_is_an_error_not_a_score(self, fitness: Fitness, model: nn.Module) -> None:
        broken = copy.deepcopy(model)
        with torch.no_grad():
            next(broken.parameters()).fill_(torch.nan)
        with pytest.raises(FitnessError, match="finite"):
            fitness.evaluate(broken, Budget("search"))
