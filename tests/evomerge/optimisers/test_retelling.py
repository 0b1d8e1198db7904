"""What pymoo's algorithms remember of a population, and that it can be measured anew between generations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.protocol import Generational, Remembering
from evomerge.optimisers.pymoo_adapter import PymooOptimiser
from tests.contracts.optimiser_contract import evaluation, failure

ROTATING = ("nsga2", "nsga3", "unsga3", "spea2", "sms_emoa", "ga")


def shifted(outcome: Evaluation, by: float) -> Evaluation:
    objectives = tuple(replace(o, value=o.value + by) for o in outcome.estimate.objectives)
    return replace(outcome, estimate=replace(outcome.estimate, objectives=objectives))


def generation(optimiser: PymooOptimiser, told: dict[int, Outcome], fail: int | None = None) -> None:
    first = len(told)
    outcomes = [
        failure(first + i, g) if first + i == fail else evaluation(first + i, g)
        for i, g in enumerate(optimiser.ask(1000))
    ]
    told |= {outcome.candidate.proposal: outcome for outcome in outcomes if outcome.candidate.proposal is not None}
    optimiser.tell(outcomes)


def started(name: str) -> tuple[PymooOptimiser, dict[int, Outcome]]:
    optimiser = PymooOptimiser(3, n_objectives=2, seed=1, algorithm=name, population=None if "nsga3" in name else 8)
    told: dict[int, Outcome] = {}
    for _ in range(3):
        generation(optimiser, told)
    return optimiser, told


@pytest.mark.parametrize("name", ROTATING)
def test_measured_alike_again_it_goes_on_with_the_same_ranks(name: str) -> None:
    optimiser, told = started(name)
    assert isinstance(optimiser, Remembering)
    assert isinstance(optimiser, Generational)
    survivors = optimiser.survivors()
    assert set(survivors) <= set(told)
    before = sorted(map(tuple, optimiser._algorithm.pop.get("F").tolist()))
    optimiser.retell([told[proposal] for proposal in survivors])
    assert sorted(map(tuple, optimiser._algorithm.pop.get("F").tolist())) == before
    assert sorted(optimiser.survivors()) == sorted(survivors)
    generation(optimiser, told)


@pytest.mark.parametrize("name", ROTATING)
def test_a_survivor_that_was_lucky_gives_way(name: str) -> None:
    optimiser, told = started(name)
    survivors = optimiser.survivors()
    lucky = survivors[0]
    new = [shifted(told[p], -10.0 if p == lucky else 0.0) for p in survivors]  # type: ignore[arg-type]
    optimiser.retell(new)
    assert lucky in optimiser.survivors()
    generation(optimiser, told)
    generation(optimiser, told)
    assert lucky not in optimiser.survivors()


def test_failures_are_no_survivors_and_one_measured_as_failed_goes() -> None:
    optimiser = PymooOptimiser(3, n_objectives=2, seed=1, population=8)
    told: dict[int, Outcome] = {}
    generation(optimiser, told, fail=3)
    assert sorted(optimiser.survivors()) == [0, 1, 2, 4, 5, 6, 7]
    genome = told[0].candidate.genome
    optimiser.retell([failure(0, genome)])
    assert 0 not in optimiser.survivors()


def test_replayed_it_proposes_the_same_bit_for_bit() -> None:
    proposals = []
    for _ in range(2):
        optimiser, told = started("nsga2")
        optimiser.retell([shifted(told[p], 0.01 * p) for p in optimiser.survivors()])  # type: ignore[arg-type]
        proposals.append(np.array(optimiser.ask(8)))
    assert proposals[0].tobytes() == proposals[1].tobytes()


def test_retelling_at_another_time_or_of_others_is_refused() -> None:
    optimiser, told = started("nsga2")
    gone = next(proposal for proposal in told if proposal not in optimiser.survivors())
    with pytest.raises(OptimiserError, match="retell: expected outcomes of"):
        optimiser.retell([told[gone]])
    optimiser.ask(1)
    with pytest.raises(OptimiserError, match="retell: expected a genetic algorithm between generations"):
        optimiser.retell([])
