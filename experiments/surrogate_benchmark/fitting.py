"""Fits emulators to response matrices: lengths by marginal likelihood, items and merges by their posterior's mode.

python -m experiments.surrogate_benchmark.fitting [MATRIX ...]      a minute each
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from experiments.surrogate_benchmark.emulator import Emulator, Kernel, TaskModel
from experiments.surrogate_benchmark.matrices import HERE, SOURCES, Answers

Floats = NDArray[np.float64]
N_LATENTS = 6  # more predict single items a little better, and merges' scores no better
NUGGET = 0.1
ROUGH = 0.6  # about as covers held-out merges of the SmolLM2 matrix (`validation`)
STEPS, RATE = 400, 0.05
# Priors, as standard deviations: logs of lengths about e, logs of slopes about e^-1.5; loadings; difficulties.
LENGTHS, SLOPES, LOADINGS, DIFFICULTIES = 1.0, 2.0, 0.7, 3.0


def fit(answers: Answers, rows: NDArray[np.intp] | None = None) -> Emulator:
    """Fit an emulator to all merges, or to some rows of them."""
    chosen = np.arange(len(answers.genomes)) if rows is None else rows
    genomes, tasks = answers.genomes[chosen], answers.tasks
    fitted = {name: fit_task(genomes, answers.scores[np.ix_(chosen, items)]) for name, items in tasks.items()}
    order = np.concatenate(list(tasks.values()))
    landmarks = {name: scores[order] for name, scores in answers.landmarks.items()}
    return Emulator(tuple(answers.items[i] for i in order), genomes, fitted, landmarks)


def fit_task(genomes: Floats, scores: Floats) -> TaskModel:
    """Fit one task: (n_merges, dim) genomes, (n_merges, n_items) answers."""
    kernel = fit_kernel(genomes, scores.mean(axis=1))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        known = torch.tensor(kernel(genomes, genomes) + NUGGET**2 * np.eye(len(genomes)))
        lower = torch.linalg.cholesky(known)
        latents, loadings, difficulty = _modes(lower, torch.tensor(scores))
    return TaskModel(difficulty.numpy(), loadings.numpy(), latents.numpy(), kernel, NUGGET, ROUGH)


def fit_kernel(genomes: Floats, means: Floats) -> Kernel:
    """Return the covariance that explains merges' mean scores (their logits) best, 1 on average over the merges."""
    points, logits = torch.tensor(genomes), torch.logit(torch.tensor(0.98 * means + 0.01))
    dim, centred = points.shape[1], logits - logits.mean()
    logs = torch.cat([torch.ones(dim), torch.full((dim,), -1.5), torch.tensor([0.0, -2.0])]).double().requires_grad_()
    optimiser = torch.optim.LBFGS([logs], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        noisy = _covariance(points, logs, dim) + (logs[-1].exp() + 1e-4) * torch.eye(len(points)).double()
        lower = torch.linalg.cholesky(noisy)
        misfit = centred @ torch.cholesky_solve(centred[:, None], lower)[:, 0] / 2 + lower.diagonal().log().sum()
        priors = ((logs[:dim] - 1.0) / LENGTHS).square().sum() + ((logs[dim:-2] + 1.5) / SLOPES).square().sum()
        total: Tensor = misfit + priors / 2
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    found = logs.detach()
    scale = float(_covariance(points, found, dim).diagonal().mean())
    own = found.exp().numpy()
    return Kernel(own[:dim], own[dim:-2] / scale, float(own[-2]) / scale)


def _covariance(points: Tensor, logs: Tensor, dim: int) -> Tensor:
    scaled = points / logs[:dim].exp()
    squares = scaled.square().sum(1)
    apart = (squares[:, None] + squares - 2.0 * scaled @ scaled.T).clamp(min=0.0)
    centred = points - 0.5
    return logs[-2].exp() * torch.exp(-0.5 * apart) + (centred * logs[dim:-2].exp()) @ centred.T


def _modes(lower: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return (n, K) latents, (n_items, K) loadings, (n_items,) difficulties at the mode of their posterior."""
    n_merges, n_items = scores.shape
    whitened = (0.1 * torch.randn(n_merges, N_LATENTS).double()).requires_grad_()
    loadings = 0.3 * torch.randn(n_items, N_LATENTS).double()
    expected = torch.zeros(N_LATENTS).double()
    loadings[:, 0] = expected[0] = 1.0  # the first is what all items have in common
    loadings.requires_grad_()
    difficulty = torch.logit(0.96 * scores.mean(0) + 0.02).requires_grad_()
    optimiser = torch.optim.Adam([whitened, loadings, difficulty], lr=RATE)
    for _ in range(STEPS):
        optimiser.zero_grad()
        logits = difficulty + (lower @ whitened) @ loadings.T
        priors = whitened.square().sum() + ((loadings - expected) / LOADINGS).square().sum()
        priors = priors + ((difficulty - difficulty.mean()) / DIFFICULTIES).square().sum()
        loss = binary_cross_entropy_with_logits(logits, scores, reduction="sum") + priors / 2
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return (lower @ whitened).detach(), loadings.detach(), difficulty.detach()


def main() -> None:
    """Fit and write the emulators that the benchmark uses."""
    for name in sys.argv[1:] or SOURCES:
        fit(SOURCES[name].read()).save(HERE / "emulators" / f"{name}.npz")


if __name__ == "__main__":
    main()
