"""Individuals with a gain: how far a child goes along its task vector, inherited beside what it combines.

M2N2's children are shares of their parents that sum to about one, where experts that conflict want task vectors which
sum to more. Here an individual is θ₀ + g·(C - θ₀) with C a combination as M2N2 makes it (`crossover`) and a gain g of
its own; g = 1 is the paper's individual. As a combination of the base and the parents it is exact: the base has the
coefficient 1 - g everywhere, and the gain is read from there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search_spaces.errors import SpaceError
from search_spaces.spaces.niches.crossover import Crossover
from search_spaces.spaces.niches.individual import Individual

# Standard deviation of the noise on the logarithm of an inherited gain.
NOISE = 0.1
# How many uniform means of the parents are born at different gains.
MIXTURES = 4


def gained(combination: Individual, gain: float) -> Individual:
    """Return the individual, over the base and then the parents, of a combination of parents."""
    base = np.full((len(combination.coefficients), 1), 1.0 - gain)
    return Individual(combination.boundaries, np.hstack([base, gain * combination.coefficients]))


def gain_of(individual: Individual) -> float:
    """Return the gain of an individual over the base and the parents."""
    return 1.0 - float(individual.coefficients[0, 0])


def combination_of(individual: Individual) -> Individual:
    """Return what an individual with a gain other than 0 combines, over the parents alone."""
    return Individual(individual.boundaries, individual.coefficients[:, 1:] / gain_of(individual))


def first_individuals(alone: Sequence[Individual], gains: tuple[float, float]) -> tuple[Individual, ...]:
    """Return the parents themselves, then their uniform mean at gains evenly spaced on a logarithmic scale.

    Args:
        alone: every parent, as a combination of the parents.
        gains: least and most, above 0.

    Raises:
        SpaceError: the range is none.
    """
    low, high = gains
    if not 0.0 < low <= high < math.inf:
        raise SpaceError(f"gain: expected [low, high] with 0 < low <= high, found [{low:g}, {high:g}]")
    n = alone[0].n_parents
    mean = Individual(np.array([0, alone[0].size]), np.full((1, n), 1.0 / n))
    between = (low * (high / low) ** ((i + 0.5) / MIXTURES) for i in range(MIXTURES))
    return (*(gained(parent, 1.0) for parent in alone), *(gained(mean, gain) for gain in between))


@dataclass(frozen=True)
class GainedCrossover:
    """Makes children of individuals with a gain; implements `Crossing`.

    A child's combination is that of `crossover`. Its gain lies anywhere between its parents', on a logarithmic scale;
    then its logarithm gets normal noise of 0.1, and it is kept in the range.
    """

    crossover: Crossover  # of the parents, without the base
    seeds: tuple[Individual, ...]  # over the base and the parents
    gains: tuple[float, float]  # least and most, above 0

    def child(self, first: Individual, second: Individual, rng: np.random.Generator) -> Individual:
        """Return a child with a random split point, ratio and gain."""
        combination = self.crossover.child(combination_of(first), combination_of(second), rng)
        logs = math.log(gain_of(first)), math.log(gain_of(second))
        gain = math.exp(logs[0] + rng.random() * (logs[1] - logs[0]) + NOISE * rng.standard_normal())
        return gained(combination, float(np.clip(gain, *self.gains)))
