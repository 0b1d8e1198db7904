"""How a descent steps: Adam, and Frank-Wolfe. Coefficients and slopes are float64 (n_parents, n_places)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


class Stepper(Protocol):
    """Turns slopes into steps."""

    def advance(self, values: Values, slope: Values) -> Values:
        """Return the next coefficients."""
        ...

    def state(self) -> list[Values]:
        """Return what the next step depends on, besides the coefficients."""
        ...

    def restore(self, state: list[Values]) -> None:
        """Go on from a state."""
        ...


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1), with a penalty on coefficients that sets them to zero exactly.

    The penalty is `sparsity` times the sum of |λ| over parents, averaged over places. Where a coefficient is zero the
    penalised loss's subgradient of least norm counts; a step that would change a sign ends at zero (OWL-QN, Andrew and
    Gao 2007): its fixed points are the minima of the penalised loss.

    Args:
        rate: about how far a coefficient moves in a step, above 0.
        sparsity: in nats per unit of coefficients, at least 0.
    """

    def __init__(self, rate: float, *, sparsity: float = 0.0, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        self._rate, self._sparsity, self._betas = rate, sparsity, betas
        self._steps = 0
        self._first: Values | float = 0.0  # moments
        self._second: Values | float = 0.0

    def advance(self, values: Values, slope: Values) -> Values:
        """Return the next coefficients."""
        slope = self._penalised(values, slope)
        b1, b2 = self._betas
        self._steps += 1
        self._first = b1 * self._first + (1 - b1) * slope
        self._second = b2 * self._second + (1 - b2) * slope**2
        first, second = self._first / (1 - b1**self._steps), self._second / (1 - b2**self._steps)
        following = values - self._rate * first / (np.sqrt(second) + 1e-8)
        if self._sparsity:
            side = np.where(values == 0.0, -np.sign(slope), np.sign(values))
            following = np.where(np.sign(following) == side, following, 0.0)
        return np.asarray(following)

    def state(self) -> list[Values]:
        """Return the moments and the number of steps."""
        return [np.asarray(part, dtype=np.float64) for part in (self._first, self._second, self._steps)]

    def restore(self, state: list[Values]) -> None:
        """Go on from a state."""
        self._first, self._second, self._steps = state[0], state[1], int(state[2])

    def _penalised(self, values: Values, slope: Values) -> Values:
        weight = self._sparsity / values.shape[1]
        at_zero = np.sign(slope) * np.maximum(np.abs(slope) - weight, 0.0)
        return np.asarray(np.where(values == 0.0, at_zero, slope + weight * np.sign(values)))


class FrankWolfe:
    """Go towards the vertex of the hull of base, parents and start that descends most steeply.

    With slope g = dL/dθ, <g, θₖ - θ₀> is the slope of parent k's coefficient, so that the vertex of least <g, θₖ> is
    found without any parent's weights in memory: per model one vertex for all places, else one for each. The step is
    γ = 2/(t + 2) times `scale`. FW-Merging (Chen et al. 2025, arXiv 2503.12649), hard variant; its released code takes
    cosines with raw checkpoints for inner products, and a scale of 0.03.

    Args:
        reach: coefficient of a parent at its vertex; 1 is the parent itself.
        scale: of the steps, in (0, 1].
        together: whether all places take one vertex.
    """

    def __init__(self, reach: float = 1.0, *, scale: float = 1.0, together: bool = True) -> None:
        self._reach, self._scale, self._together = reach, scale, together
        self._steps = 0
        self._start: Values | None = None

    def advance(self, values: Values, slope: Values) -> Values:
        """Return the next coefficients."""
        if self._start is None:
            self._start = values
        n_parents = len(values)
        # The base, which wins where nothing descends, and the parents; (n_parents + 1, n_parents).
        vertices = np.concatenate([np.zeros((1, n_parents)), self._reach * np.eye(n_parents)])
        rises = np.concatenate([vertices @ slope, (self._start * slope).sum(axis=0, keepdims=True)])
        if self._together:
            rises = np.broadcast_to(rises.sum(axis=1, keepdims=True), rises.shape)
        chosen = rises.argmin(axis=0)
        to_start = chosen == n_parents + 1
        vertex = np.where(to_start, self._start, vertices[np.minimum(chosen, n_parents)].T)
        step = self._scale * 2.0 / (self._steps + 2.0)
        self._steps += 1
        return np.asarray((1.0 - step) * values + step * vertex)

    def state(self) -> list[Values]:
        """Return the start and the number of steps."""
        start = np.empty((0, 0)) if self._start is None else self._start
        return [start, np.asarray(self._steps, dtype=np.float64)]

    def restore(self, state: list[Values]) -> None:
        """Go on from a state."""
        self._start, self._steps = (state[0] if state[0].size else None), int(state[1])
