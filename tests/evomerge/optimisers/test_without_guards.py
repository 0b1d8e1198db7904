"""An objective of weight 0 is nothing that an optimiser hears of."""

from __future__ import annotations

import numpy as np

from evomerge.candidate import Candidate, Evaluation, Failure
from evomerge.optimisers.random_search import RandomSearch
from evomerge.optimisers.without_guards import guards_of, without_guards
from fitness.estimation import Objective
from fitness.scores import Estimate, ItemScores, ObjectiveEstimate
from tests.evomerge.toy import weights_recipe

OBJECTIVES = (Objective("sums", ("s",), 2.0), Objective("guard", ("s", "g"), 0.0))
TASK_OF = {"s/1": "s", "g/1": "g", "s/2": "s"}


class Listening(RandomSearch):
    """Keeps what it is told."""

    wants_landmarks = True

    def tell(self, outcomes):
        self.heard = list(outcomes)


def test_it_is_told_neither_their_values_nor_the_scores_of_items_that_only_they_have() -> None:
    own = Listening(2, seed=0)
    told = without_guards(own, OBJECTIVES, TASK_OF)
    assert told.wants_landmarks
    candidate = Candidate(3, weights_recipe(0.1, 0.2), None, 0, np.array([0.1, 0.2]))
    both = tuple(ObjectiveEstimate(o.name, 0.5, 0.1, 3, weight=o.weight) for o in OBJECTIVES)
    scores = ItemScores(("s/1", "g/1", "s/2"), np.array([1.0, 0.0, 0.5]))
    failure = Failure(candidate, "merge", "NaN")
    told.tell([Evaluation(candidate, Estimate("search", both), scores, violation=0.25), failure])
    heard = own.heard[0]
    assert [o.name for o in heard.estimate.objectives] == ["sums"]
    assert heard.scores == ItemScores(("s/1", "s/2"), np.array([1.0, 0.5]))
    assert (heard.violation, own.heard[1]) == (0.25, failure)


def test_where_every_weight_is_0_there_are_no_guards() -> None:
    assert guards_of([Objective("a", ("s",), 0.0), Objective("b", ("g",), 0.0)]) == frozenset()
    own = Listening(2, seed=0)
    assert without_guards(own, [Objective("a", ("s",), 0.0)], TASK_OF) is own
