"""What every optimiser over the unit cube promises (`evomerge.optimisers.protocol`).

To test a new one, subclass `OptimiserContract` in a test file and set `factory` and `arguments`:

    class TestMySearch(OptimiserContract):
        factory = "my_package.search:MySearch"
        arguments = {"dim": 3, "seed": 0}

Run as a module, this file prints the digest of a session with the optimiser that its arguments describe.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from evomerge.candidate import Candidate, Evaluation, Failure, Outcome
from evomerge.optimisers.protocol import Optimiser
from fitness.scores import Estimate, ItemScores, ObjectiveEstimate
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Rule

Genome = NDArray[np.float64]
Make = Callable[[], Optimiser[Genome]]
RECIPE = Recipe({"base": ParentSource("/models/base")}, "base", (Rule("linear", ()),))


def evaluation(proposal: int, genome: Genome, **objectives: float) -> Evaluation:
    """Return an evaluation; without objectives, those of two spheres with different centres."""
    if not objectives:
        genes = np.asarray(genome)
        objectives = {"left": 1 - float(np.mean((genes - 0.3) ** 2)), "right": 1 - float(np.mean((genes - 0.7) ** 2))}
    estimates = tuple(ObjectiveEstimate(name, value, 0.0, 1) for name, value in objectives.items())
    scores = ItemScores(tuple(objectives), np.nan_to_num([*objectives.values()], posinf=0.0))
    return Evaluation(Candidate(proposal, RECIPE, None, proposal, genome), Estimate("search", estimates), scores)


def infeasible(proposal: int, genome: Genome, violation: float) -> Evaluation:
    """Return an evaluation of two spheres that misses a constraint."""
    return replace(evaluation(proposal, genome), violation=violation)


def failure(proposal: int, genome: Genome) -> Failure:
    return Failure(Candidate(proposal, RECIPE, None, proposal, genome), "evaluate", "made to fail")


def outcomes_of(genomes: Sequence[Genome], *, first: int, fail_every: int = 0) -> list[Outcome]:
    """Return one outcome per genome; every `fail_every`-th proposal fails."""
    return [
        failure(first + i, g) if fail_every and (first + i) % fail_every == 0 else evaluation(first + i, g)
        for i, g in enumerate(genomes)
    ]


def drive(
    optimiser: Optimiser[Genome],
    n: int,
    *,
    ask: Sequence[int] = (5,),
    fail_every: int = 0,
    order: Callable[[list[Outcome]], list[Outcome]] = list,
) -> list[Genome]:
    """Ask in chunks of the sizes `ask`, tell whenever the optimiser waits, until n genomes were proposed."""
    genomes: list[Genome] = []
    told = calls = 0
    while len(genomes) < n:
        new = list(optimiser.ask(min(ask[calls % len(ask)], n - len(genomes))))
        calls += 1
        genomes += new
        if not new:
            assert told < len(genomes), "the optimiser waits although every outcome was told"
            optimiser.tell(order(outcomes_of(genomes[told:], first=told, fail_every=fail_every)))
            told = len(genomes)
        elif len(genomes) - told >= 40:  # a steady-state optimiser never waits
            optimiser.tell(order(outcomes_of(genomes[told:], first=told, fail_every=fail_every)))
            told = len(genomes)
    return genomes


def equal(one: Sequence[Genome], other: Sequence[Genome]) -> bool:
    """Return whether two sequences hold equal genomes."""
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def build(factory: str, arguments: Mapping[str, Any]) -> Optimiser[Genome]:
    module, _, name = factory.partition(":")
    optimiser: Optimiser[Genome] = getattr(importlib.import_module(module), name)(**arguments)
    return optimiser


def session_digest(optimiser: Optimiser[Genome]) -> str:
    """Return the digest of 120 genomes, with failures among the outcomes."""
    genomes = drive(optimiser, 120, ask=(1, 7, 3), fail_every=4)
    return hashlib.sha256(b"".join(np.asarray(genome).tobytes() for genome in genomes)).hexdigest()


class OptimiserContract:
    """Subclass with the optimiser's class and arguments; `dim` must be among them."""

    factory: ClassVar[str]
    arguments: ClassVar[dict[str, Any]]
    generational: ClassVar[bool] = True

    @pytest.fixture
    def make(self) -> Make:
        return lambda: build(self.factory, self.arguments)

    def test_genomes_are_float64_vectors_in_the_unit_cube(self, make: Make) -> None:
        genomes = np.array(drive(make(), 200))
        assert genomes.dtype == np.float64
        assert genomes.shape == (200, self.arguments["dim"])
        assert genomes.min() >= 0
        assert genomes.max() <= 1

    def test_ask_returns_at_most_n_and_nothing_for_zero(self, make: Make) -> None:
        optimiser = make()
        assert list(optimiser.ask(0)) == []
        assert 1 <= len(optimiser.ask(3)) <= 3

    def test_an_ask_that_returns_none_changes_nothing(self, make: Make) -> None:
        if not self.generational:
            pytest.skip("never waits")
        plain, impatient = make(), make()
        first = list(plain.ask(1000))
        assert equal(first, list(impatient.ask(1000)))
        assert [len(impatient.ask(n)) for n in (1, 1000, 0)] == [0, 0, 0]
        for optimiser in (plain, impatient):
            optimiser.tell(outcomes_of(first, first=0))
        assert equal(list(plain.ask(1000)), list(impatient.ask(1000)))

    def test_the_same_calls_give_the_same_genomes_also_interleaved(self, make: Make) -> None:
        one, other = make(), make()
        told = 0
        for _ in range(12):
            genomes, same = list(one.ask(6)), list(other.ask(6))
            assert equal(genomes, same)
            one.tell(outcomes_of(genomes, first=told, fail_every=5))
            other.tell(outcomes_of(same, first=told, fail_every=5))
            told += len(genomes)

    def test_the_same_calls_give_the_same_genomes_in_another_process(self, make: Make) -> None:
        command = [sys.executable, "-m", __name__, self.factory, json.dumps(self.arguments)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert printed.stdout == session_digest(make()) + "\n"  # so it prints nothing else, either

    def test_another_seed_gives_other_genomes(self, make: Make) -> None:
        other = build(self.factory, {**self.arguments, "seed": self.arguments["seed"] + 1})
        assert not equal(drive(make(), 5), drive(other, 5))

    def test_the_ith_proposal_does_not_depend_on_the_sizes_of_asks(self, make: Make) -> None:
        assert equal(drive(make(), 100, ask=(1,)), drive(make(), 100, ask=(13, 2, 100)))

    def test_completion_order_does_not_matter(self, make: Make) -> None:
        def shuffled(outcomes: list[Outcome]) -> list[Outcome]:
            return [outcomes[i] for i in np.random.default_rng(len(outcomes)).permutation(len(outcomes))]

        in_order = drive(make(), 100, fail_every=7)
        assert equal(in_order, drive(make(), 100, fail_every=7, order=shuffled))

    def test_outcomes_told_one_by_one_or_together_are_the_same(self, make: Make) -> None:
        together, singly = make(), make()
        told = 0
        for _ in range(5):
            genomes = list(together.ask(1000))[:1000]
            assert equal(genomes, list(singly.ask(1000)))
            outcomes = outcomes_of(genomes, first=told)
            together.tell(outcomes)
            for outcome in reversed(outcomes):
                singly.tell([outcome])
            told += len(genomes)

    def test_generations_that_fail_as_a_whole_do_not_stop_the_search(self, make: Make) -> None:
        genomes = drive(make(), 150, fail_every=1)
        assert len({np.asarray(genome).tobytes() for genome in genomes}) == 150

    def test_a_failed_first_generation_is_followed_by_another(self, make: Make) -> None:
        optimiser = make()
        failed = list(optimiser.ask(30))
        optimiser.tell([failure(i, genome) for i, genome in enumerate(failed)])
        assert len(optimiser.ask(1)) == 1

    def test_infeasible_evaluations_are_learnt_from_also_where_nothing_is_feasible(self, make: Make) -> None:
        optimiser = make()
        genomes: list[Genome] = []
        for _ in range(12):
            new = list(optimiser.ask(1000))[:1000]
            outcomes = [
                infeasible(len(genomes) + i, genome, violation=1e-3 + float(np.asarray(genome)[0]))
                for i, genome in enumerate(new)
            ]
            genomes += new
            optimiser.tell(outcomes)
        assert len(optimiser.ask(1)) == 1

    def test_global_random_generators_are_neither_read_nor_disturbed(self, make: Make) -> None:
        legacy = np.random.mtrand._rand  # the generator behind np.random.random and friends
        runs = []
        for seed in (1, 2):
            legacy.seed(seed)
            random.seed(seed)
            runs.append(drive(make(), 100, fail_every=6))
            assert legacy.random() == np.random.RandomState(seed).random()
            assert random.random() == random.Random(seed).random()
        assert equal(runs[0], runs[1])

    def test_genomes_cannot_be_changed_from_outside(self, make: Make) -> None:
        optimiser, untouched = make(), make()
        for genome in optimiser.ask(4):
            if genome.flags.writeable:
                genome[:] = 0
        untouched.ask(4)
        assert equal(list(optimiser.ask(2)), list(untouched.ask(2)))

    def test_telling_a_proposal_twice_is_an_error_and_changes_nothing(self, make: Make) -> None:
        optimiser = make()
        first, second = optimiser.ask(2)
        optimiser.tell([evaluation(0, first)])
        with pytest.raises(ValueError, match="each proposal once, found 0"):
            optimiser.tell([evaluation(1, second), evaluation(0, first)])
        with pytest.raises(ValueError, match="each proposal once, found 1"):
            optimiser.tell([evaluation(1, second), evaluation(1, second)])
        optimiser.tell([evaluation(1, second)])

    def test_telling_what_was_never_asked_is_an_error(self, make: Make) -> None:
        optimiser = make()
        (genome,) = optimiser.ask(1)
        with pytest.raises(ValueError, match="found 1, which was never asked"):
            optimiser.tell([evaluation(1, genome)])

    def test_telling_a_landmark_is_an_error(self, make: Make) -> None:
        optimiser = make()
        optimiser.ask(1)
        with pytest.raises(ValueError, match="candidate 7, a landmark"):
            optimiser.tell([Failure(Candidate(7, RECIPE, label="uniform mean"), "merge", "made to fail")])


if __name__ == "__main__":
    print(session_digest(build(sys.argv[1], json.loads(sys.argv[2]))))
