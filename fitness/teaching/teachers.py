"""What teachers say, kept: float16 log-probabilities of all tokens, or of the likeliest ones and the rest together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fitness.engine.language_model import Distributions
from fitness.errors import FitnessError

_REST = -40.0  # log-probability that a rest of none is given, so that differences stay finite


@dataclass(frozen=True, eq=False)
class Likeliest:
    """The tokens that are told apart at some places; all others count as one."""

    tokens: Tensor  # (n_places, k) int64

    def gathered(self, log_p: Tensor) -> Tensor:
        """Return the (n_places, k + 1) log-probabilities of the tokens, and of the rest, of (n_places, n) ones."""
        own = log_p.gather(-1, self.tokens)
        others = log_p.scatter(-1, self.tokens, -torch.inf).logsumexp(dim=-1, keepdim=True)
        return torch.cat([own, others.clamp(min=_REST)], dim=-1)

    def spread(self, by_gathered: Tensor, log_p: Tensor, gathered: Tensor) -> Tensor:
        """Return the slope by log p, of that by what was `gathered`: the rest's, in proportion to probability."""
        others = by_gathered[:, -1:] * (log_p - gathered[:, -1:]).exp()
        return others.scatter(-1, self.tokens, by_gathered[:, :-1])


@dataclass(frozen=True, eq=False)
class Taught:
    """What a teacher says at the places of one window.

    Attributes:
        log_probabilities: (n_places, n_vocabulary) float16; or (n_places, k + 1), the last of the rest.
        likeliest: the k tokens; None where all are told apart.
    """

    log_probabilities: Tensor
    likeliest: Likeliest | None = None

    def __len__(self) -> int:
        return len(self.log_probabilities)

    @property
    def n_bytes(self) -> int:
        """Of memory that it takes."""
        return self.log_probabilities.nbytes + (0 if self.likeliest is None else self.likeliest.tokens.nbytes)

    def rows(self, start: int, stop: int, like: Tensor) -> tuple[Tensor, Likeliest | None]:
        """Return the normalised log-probabilities of some places, on the device and in the dtype of `like`."""
        rows = self.log_probabilities[start:stop].to(device=like.device, dtype=like.dtype).log_softmax(dim=-1)
        if self.likeliest is None:
            return rows, None
        return rows, Likeliest(self.likeliest.tokens[start:stop].to(like.device))


def keep(answer: Distributions, temperature: float, most: int | None) -> Taught:
    """Return what is kept of an answer, tempered: all tokens, or the `most` likeliest ones and the rest.

    Raises:
        FitnessError: a probability is not finite.
    """
    said = torch.from_numpy(answer.log_probabilities)
    tempered = (said / temperature).log_softmax(dim=-1)
    if tempered.isnan().any():
        raise FitnessError("expert: expected finite probabilities, found others")
    likeliest = None
    if most is not None and most < tempered.shape[-1]:
        likeliest = Likeliest(tempered.topk(most, dim=-1).indices)
        tempered = likeliest.gathered(tempered)
    limit = float(np.finfo(np.float16).min)
    return Taught(tempered.clamp(min=limit).to(torch.float16), likeliest)
