"""What a genome may gain: noisy expected improvement of one objective or of a front, in every draw of the truth.

The incumbents are those of each draw: the best that was scored or is being scored, if that draw is true. So noise
counts, pending candidates count as known, and no value is taken for exact (Letham et al., Bayesian Analysis 14, 2019;
Daulton, Balandat and Bakshy, NeurIPS 2021). The volume that a front gains is an integral over directions of what each
direction gains (Golovin and Zhang, "Random hypervolume scalarizations", ICML 2020, lemma 5), which needs no cells and
holds for any number of objectives; of one it is expected improvement. Logarithms and their slopes are those of Ament et
al., "Unexpected improvements to expected improvement" (NeurIPS 2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from evomerge.optimisers.bayes.draws import Draws

_DIRECTIONS = 32  # of each draw
_HELD = 24  # incumbents that make up a front
_SMOOTH = 1e-3  # share of the range that no improvement counts as, so that there is a slope everywhere
_ACCEPTED, _SHARP = 0.6, 0.05  # constraints are kept from so high a value on, which is 1 of those that keep them
_LEAST_CHANCE, _CAUTION = 1e-6, 2.0


@dataclass(frozen=True, eq=False)
class Acceptance:
    """How likely a genome's merge can be had, and keeps all constraints; of draws of success and of constraints.

    Squared, as what is not accepted costs a candidate and tells nothing of values.
    """

    draws: Draws

    def log_chance(self, genomes: Tensor) -> Tensor:
        """Return (n,) logarithms of squared chances, of (n, dim) genomes."""
        alive, kept = self.draws.values(genomes).unbind(dim=-1)
        chance = (alive.clamp(0.0, 1.0) * torch.sigmoid((kept - _ACCEPTED) / _SHARP)).mean(dim=0)
        return _CAUTION * chance.clamp_min(_LEAST_CHANCE).log()


class Gain:
    """What a genome is expected to gain, counted by its chance of being accepted.

    Args:
        draws: of the objectives.
        incumbents: (n, dim) genomes of what counts as had: accepted or pending.
        acceptance: None where everything is accepted.
        directions: seeds the directions along which a front's gain is measured.
    """

    def __init__(self, draws: Draws, incumbents: Tensor, acceptance: Acceptance | None, directions: int) -> None:
        self._draws, self._acceptance = draws, acceptance
        with torch.no_grad():
            held = draws.values(incumbents)
        n_draws, _, n_objectives = held.shape
        mean = held.mean(dim=0)
        # Of all that was seen, not of the front: one around a knee would have its ends below the reference.
        self._reference = mean.min(dim=0).values
        self._unit = (mean.max(dim=0).values - self._reference).clamp_min(1e-6)
        generator = torch.Generator().manual_seed(directions)
        shape = (n_draws, _DIRECTIONS if n_objectives > 1 else 1, n_objectives)
        drawn = torch.randn(shape, generator=generator, dtype=held.dtype).abs().clamp_min(1e-3)
        self._directions = drawn / drawn.norm(dim=-1, keepdim=True)
        along = self._along(held).max(dim=1)
        self._best = along.values  # (draws, directions)
        often = along.indices.reshape(-1).bincount(minlength=len(incumbents))
        self._held = held[:, torch.argsort(often, descending=True, stable=True)[:_HELD]]  # that gains are measured from

    def log_values(self, genomes: Tensor) -> Tensor:
        """Return (n,) logarithms of gains of (n, dim) genomes, up to a constant."""
        along = self._along(self._draws.values(genomes))
        gained = log_rectified(along - self._best[:, None, :], _SMOOTH)
        value = torch.logsumexp(gained, dim=(0, 2))
        return value if self._acceptance is None else value + self._acceptance.log_chance(genomes)

    def left(self, genomes: Tensor) -> float:
        """Return the most that any of (n, dim) genomes is expected to gain, in units of the objectives.

        On a front: by how much all of it would have to move, along each objective, to be as good as the genome (the
        additive epsilon of Zitzler et al., IEEE TEC 7, 2003). With one objective that is expected improvement.
        """
        with torch.no_grad():
            new = self._draws.values(genomes)[:, :, None, :] - self._held[:, None, :, :]
            gain = new.max(dim=-1).values.min(dim=-1).values.clamp_min(0.0).mean(dim=0)
            if self._acceptance is not None:
                gain = gain * self._acceptance.log_chance(genomes).exp()
            return float(gain.max())

    def _along(self, values: Tensor) -> Tensor:
        """Return (draws, n, directions) volumes of (draws, n, n_objectives) values along the directions."""
        scaled = (values - self._reference) / self._unit
        if scaled.shape[-1] == 1:
            return scaled
        reach = (scaled[:, :, None, :] / self._directions[:, None, :, :]).amin(dim=-1)
        # Below the reference there is no volume; the slope there leads back to it.
        power = scaled.shape[-1]
        return torch.where(reach > 0.0, reach.clamp_min(0.0) ** power, reach)


def log_rectified(values: Tensor, smooth: float) -> Tensor:
    """Return the logarithm of max(0, values), smoothed, with heavy tails below 0 (Ament et al. 2023, appendix A.4)."""
    x = values / smooth
    soft = torch.nn.functional.softplus(x) + 0.1 / (1.0 + x * x)
    return soft.log() + torch.log(torch.tensor(smooth, dtype=values.dtype))
