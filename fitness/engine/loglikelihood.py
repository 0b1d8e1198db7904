"""Log-likelihoods in plain padded batches, with logits only where a continuation needs them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fitness.engine.language_model import LogLikelihood
from fitness.errors import FitnessError


@dataclass(frozen=True)
class Row:
    """One sequence to run through the model, and what is read off at its end.

    Attributes:
        ids: (length,) input tokens.
        targets: token sequences whose log-likelihood is wanted; the last token of each is predicted at the row's
            last position, the others at the positions before it.
    """

    ids: NDArray[np.int64]
    targets: tuple[NDArray[np.int64], ...]

    @classmethod
    def of(cls, ids: Sequence[int], targets: Sequence[Sequence[int]]) -> Row:
        """Make a row of plain sequences."""
        return cls(np.array(ids, dtype=np.int64), tuple(np.array(target, dtype=np.int64) for target in targets))

    @property
    def n_scored(self) -> int:
        """How many positions at the row's end need logits."""
        return max(len(target) for target in self.targets)


def score_rows(model: nn.Module, rows: Sequence[Row]) -> list[LogLikelihood]:
    """Run one batch, and return one answer per target of the first row, then of the second, and so on.

    Rows are padded on the right, with their last token and no mask: a causal model's outputs do not depend on what
    follows.

    Raises:
        FitnessError: a log-likelihood is not finite.
    """
    device = next(model.parameters()).device
    length = max(len(row.ids) for row in rows)
    ids = np.empty((len(rows), length), dtype=np.int64)
    scored: list[NDArray[np.int64]] = []  # flat positions whose logits are computed
    reads: list[NDArray[np.int64]] = []  # per target token, its place among those
    n_before = 0
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = row.ids
        ids[i, len(row.ids) :] = row.ids[-1]
        end = i * length + len(row.ids)
        scored.append(np.arange(end - row.n_scored, end))
        n_before += row.n_scored
        reads.extend(np.arange(n_before - len(target), n_before) for target in row.targets)
    targets = [target for row in rows for target in row.targets]
    with torch.inference_mode():
        logits = _logits_at(
            model, torch.from_numpy(ids).to(device), torch.from_numpy(np.concatenate(scored)).to(device)
        )
        read = torch.from_numpy(np.concatenate(reads)).to(logits.device)
        target = torch.from_numpy(np.concatenate(targets)).to(logits.device)
        log_probabilities = logits[read, target] - logits.logsumexp(dim=-1)[read]
        greedy = logits.argmax(dim=-1)[read] == target
    starts = np.cumsum([0, *(len(t) for t in targets[:-1])])
    values = np.add.reduceat(log_probabilities.double().cpu().numpy(), starts)
    all_greedy = np.logical_and.reduceat(greedy.cpu().numpy(), starts)
    if not np.isfinite(values).all():
        raise FitnessError("the model's log-likelihoods are not finite: its weights hold or produce NaN or infinity")
    return [LogLikelihood(float(v), bool(g)) for v, g in zip(values, all_greedy, strict=True)]


def _logits_at(model: nn.Module, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Return float32 logits (n_positions, vocabulary) at `positions` of the flattened (n_rows * length) batch.

    The hidden states are gathered on their way into the output layer, inside the model's own forward pass, so that
    whatever the model does to its logits afterwards (scaling, soft capping) is still done.
    """
    head = _output_layer(model)
    gathered = []

    def gather(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden = inputs[0]
        if hidden.shape[:-1] != ids.shape:
            return inputs
        gathered.append(True)
        return (hidden.reshape(1, -1, hidden.shape[-1])[:, positions.to(hidden.device)], *inputs[1:])

    with head.register_forward_pre_hook(gather) if head is not None else nullcontext():
        logits = forward_logits(model, ids)
    if not gathered:
        logits = logits.reshape(1, -1, logits.shape[-1])[:, positions.to(logits.device)]
    return logits[0].float()


def _output_layer(model: nn.Module) -> nn.Module | None:
    find: Callable[[], nn.Module | None] | None = getattr(model, "get_output_embeddings", None)
    return find() if find is not None else None


def forward_logits(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Return the model's logits for (n_rows, length) token ids, without a cache."""
    output = model(ids, use_cache=False) if accepts(model, "use_cache") else model(ids)
    logits = getattr(output, "logits", output)
    if not isinstance(logits, torch.Tensor):
        raise FitnessError(f"model: expected logits from {type(model).__name__}, found {type(logits).__name__}")
    return logits


def accepts(model: nn.Module, argument: str) -> bool:
    """Say whether the model's forward pass has an argument of this name."""
    return argument in inspect.signature(model.forward).parameters
