"""An emulator: what any merge of a space would answer, as a model fitted to real merges' answers has it.

Of a task, P(item i is right at genome x) = logistic(b_i + a_i . h(x)): difficulties b and loadings a of the items, and
K smooth functions h of the genes. A *world* draws h from its posterior given the real merges (a Gaussian process;
Matheron's rule), so that worlds agree where real merges were and differ where nothing is known, and adds what is rough
in h, so that worlds are as unsure of held-out merges as they should be. Answers are 0 or 1, the same whenever they are
asked, as a greedy model's are, and alike for neighbours: item i is right where Φ(g_i(x)) is below P, g_i a smooth
function of its own (a Gaussian process of variance 1). What is rough in h, and g_i, reach `roughness` times as far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit, ndtr

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
N_FEATURES = 256  # cosines, and as many sines, that a Gaussian process is drawn with


@dataclass(frozen=True, eq=False)
class Kernel:
    """Covariance of h over genomes: amplitude exp(-|(x-y)/lengths|²/2) + (x-½) diag(slopes) (y-½), 1 on average."""

    lengths: Floats  # (dim,)
    slopes: Floats  # (dim,)
    amplitude: float

    def __call__(self, one: Floats, other: Floats) -> Floats:
        """Return the (n, m) covariances of (n, dim) and (m, dim) genomes."""
        a, b = one / self.lengths, other / self.lengths
        squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2.0 * a @ b.T
        linear = ((one - 0.5) * self.slopes) @ (other - 0.5).T
        return np.asarray(self.amplitude * np.exp(-0.5 * np.maximum(squares, 0.0)) + linear)


@dataclass(frozen=True, eq=False)
class TaskModel:
    """One task's items, and what the real merges are like on it."""

    difficulty: Floats  # (n_items,) b
    loadings: Floats  # (n_items, K) a
    latents: Floats  # (n_merges, K) h at the real merges, up to `nugget`
    kernel: Kernel
    nugget: float  # standard deviation of the latents about h
    rough: float  # standard deviation of what is rough in a world


@dataclass(frozen=True, eq=False)
class Emulator:
    """Every task of a matrix.

    Attributes:
        items: (n_items,) ids; task by task, in the order of `tasks`.
        genomes: (n_merges, dim) of the real merges.
        landmarks: name -> (n_items,) real answers.
    """

    items: tuple[str, ...]
    genomes: Floats
    tasks: Mapping[str, TaskModel]
    landmarks: Mapping[str, Floats]
    roughness: float = 0.5

    def world(self, seed: int) -> World:
        """Return one of the worlds that the real merges are compatible with."""
        return World(self, seed)

    def save(self, path: Path) -> None:
        """Write it as arrays without Python objects."""
        arrays: dict[str, NDArray[np.generic]] = {
            "items": np.array(self.items),
            "genomes": self.genomes,
            "roughness": np.array(self.roughness),
            "tasks": np.array(list(self.tasks)),
            "landmarks": np.array(list(self.landmarks)),
            "landmark_scores": np.array(list(self.landmarks.values())) > 0.5,
        }
        for name, task in self.tasks.items():
            arrays |= {
                f"{name}/difficulty": task.difficulty.astype(np.float32),
                f"{name}/loadings": task.loadings.astype(np.float32),
                f"{name}/latents": task.latents.astype(np.float32),
                f"{name}/lengths": task.kernel.lengths,
                f"{name}/slopes": task.kernel.slopes,
                f"{name}/scalars": np.array([task.kernel.amplitude, task.nugget, task.rough]),
            }
        np.savez_compressed(path, **arrays)  # type: ignore[arg-type]  # its stub takes `allow_pickle` for an array

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as found:
            tasks = {}
            for name in found["tasks"].tolist():
                amplitude, nugget, rough = found[f"{name}/scalars"].tolist()
                kernel = Kernel(found[f"{name}/lengths"], found[f"{name}/slopes"], amplitude)
                difficulty, loadings, latents = (
                    found[f"{name}/{key}"].astype(np.float64) for key in ("difficulty", "loadings", "latents")
                )
                tasks[name] = TaskModel(difficulty, loadings, latents, kernel, nugget, rough)
            scores = found["landmark_scores"].astype(np.float64)
            landmarks = dict(zip(found["landmarks"].tolist(), scores, strict=True))
            return cls(tuple(found["items"].tolist()), found["genomes"], tasks, landmarks, float(found["roughness"]))


class World:
    """One draw of everything that an emulator leaves open; the same seed draws the same."""

    def __init__(self, emulator: Emulator, seed: int) -> None:
        self.emulator = emulator
        self._parts = [_Part(emulator, task, [seed, n]) for n, task in enumerate(emulator.tasks.values())]
        self._ends = np.cumsum([part.n_items for part in self._parts])

    def probabilities(self, genomes: Floats) -> Floats:
        """Return (n, n_items) chances of a right answer; their mean over items is a merge's true score on a task."""
        return np.concatenate([part.probabilities(genomes, slice(None)) for part in self._parts], axis=1)

    def answers(self, genomes: Floats, items: Indices) -> Floats:
        """Return (n, len(items)) answers, 0 or 1, to the items at some places."""
        found = np.empty((len(genomes), len(items)))
        of_part = np.searchsorted(self._ends, items, side="right")
        for number in np.unique(of_part).tolist():
            part, columns = self._parts[number], np.flatnonzero(of_part == number)
            own = items[columns] - (self._ends[number] - part.n_items)
            found[:, columns] = ndtr(part.luck(genomes, own)) < part.probabilities(genomes, own)
        return found


class _Part:
    """One task of a world."""

    def __init__(self, emulator: Emulator, task: TaskModel, entropy: Sequence[int]) -> None:
        self._task, self.n_items = task, len(task.difficulty)
        self._ability = _Ability(emulator.genomes, task, emulator.roughness, np.random.default_rng([*entropy, 0]))
        lengths = task.kernel.lengths * emulator.roughness
        self.luck = _Smooth.draw(lengths, self.n_items, np.random.default_rng([*entropy, 1]))

    def probabilities(self, genomes: Floats, items: Indices | slice) -> Floats:
        logits = self._task.difficulty[items] + self._ability(genomes) @ self._task.loadings[items].T
        return np.asarray(expit(logits))


@dataclass(frozen=True, eq=False)
class _Smooth:
    """Gaussian processes of variance 1, by random Fourier features."""

    frequencies: Floats  # (dim, N_FEATURES)
    weights: Floats  # (2 N_FEATURES, n_functions)

    @classmethod
    def draw(cls, lengths: Floats, n_functions: int, rng: np.random.Generator) -> Self:
        frequencies = rng.standard_normal((len(lengths), N_FEATURES)) / lengths[:, None]
        return cls(frequencies, rng.standard_normal((2 * N_FEATURES, n_functions)) / np.sqrt(N_FEATURES))

    def __call__(self, genomes: Floats, functions: Indices | slice = slice(None)) -> Floats:
        angles = genomes @ self.frequencies
        return np.asarray(np.concatenate([np.cos(angles), np.sin(angles)], axis=1) @ self.weights[:, functions])


class _Ability:
    """h, drawn given what it is at the real merges."""

    def __init__(self, genomes: Floats, task: TaskModel, roughness: float, rng: np.random.Generator) -> None:
        kernel, shape = task.kernel, task.latents.shape
        self._genomes, self._kernel = genomes, kernel
        self._smooth = _Smooth.draw(kernel.lengths, shape[1], rng)
        self._slopes = rng.standard_normal((genomes.shape[1], shape[1])) * np.sqrt(kernel.slopes)[:, None]
        missing = task.latents - self._prior(genomes) - task.nugget * rng.standard_normal(shape)
        known = kernel(genomes, genomes) + task.nugget**2 * np.eye(len(genomes))
        self._corrections = cho_solve(cho_factor(known, lower=True), missing)
        self._rough, self._share = _Smooth.draw(kernel.lengths * roughness, shape[1], rng), task.rough

    def __call__(self, genomes: Floats) -> Floats:
        smooth = self._prior(genomes) + self._kernel(genomes, self._genomes) @ self._corrections
        return np.asarray(smooth + self._share * self._rough(genomes))

    def _prior(self, genomes: Floats) -> Floats:
        return np.asarray(np.sqrt(self._kernel.amplitude) * self._smooth(genomes) + (genomes - 0.5) @ self._slopes)


def places(items: Sequence[str], wanted: Sequence[str]) -> NDArray[np.intp]:
    """Return where the wanted items stand."""
    place = {item: i for i, item in enumerate(items)}
    return np.array([place[item] for item in wanted], dtype=np.intp)
