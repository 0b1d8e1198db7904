"""Are emulators like the merges that they were fitted to? On merges that they were not fitted to.

    command    python -m experiments.surrogate_benchmark.validation [--matrices NAME ...] [--out FILE]
    cost       a minute a matrix on an idle core
    expected   validation.json, as README.md has it

The merges are split into three parts; each part is emulated by worlds fitted to the other two. Told are

- r, rmse: of a merge's emulated score (mean over worlds of its true score) with its real one, per task and of the mean;
- auc: per item, of its emulated chances over merges with its real answers, mean over items that some merges have right
  and some wrong; log loss per answer beside that of each item's share of right answers;
- covered: real mean scores within the 90 % interval of single worlds' answers on the same items;
- own, common: correlation of the mean of 18 answers with the score on all items, real and emulated, where each merge
  answers items of its own and where all answer the same: what the noise between items amounts to;
- flips: share of items that differ between two merges, over the pairs that are nearest, real and emulated.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from experiments.printing import guarded
from experiments.surrogate_benchmark.fitting import fit
from experiments.surrogate_benchmark.matrices import HERE, SOURCES, Answers

Floats = NDArray[np.float64]
N_PARTS, N_WORLDS, N_SUBSETS, N_ITEMS = 3, 20, 50, 18


def main() -> None:
    """Validate, print, and write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--matrices", nargs="+", choices=list(SOURCES), default=list(SOURCES), metavar="NAME")
    parser.add_argument("--out", type=Path, default=HERE / "validation.json")
    options = parser.parse_args()
    found = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    for name in options.matrices:
        found[name] = validate(SOURCES[name].read())
        print(name, json.dumps(found[name]), flush=True)
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def validate(answers: Answers) -> dict[str, object]:
    """Return what is told of a matrix."""
    order = np.concatenate(list(answers.tasks.values()))
    items = tuple(answers.items[i] for i in order)
    real = answers.scores[:, order]
    chances, emulated, by_item = np.zeros_like(real), np.zeros((N_WORLDS, *real.shape)), np.zeros_like(real)
    part = np.arange(len(real)) % N_PARTS
    for number in range(N_PARTS):
        known, held = np.flatnonzero(part != number), np.flatnonzero(part == number)
        emulator = fit(answers, known)
        assert emulator.items == items
        for seed in range(N_WORLDS):
            world = emulator.world(seed)
            chances[held] += world.probabilities(answers.genomes[held]) / N_WORLDS
            emulated[seed, held] = world.answers(answers.genomes[held], np.arange(len(items)))
        by_item[held] = (real[known].sum(axis=0) + 0.5) / (len(known) + 1)
    task = np.array([item.partition("/")[0] for item in items])
    scores = {
        name: (real[:, task == name].mean(axis=1), chances[:, task == name].mean(axis=1)) for name in answers.tasks
    }
    scores["mean"] = (
        np.mean([s for s, _ in scores.values()], axis=0),
        np.mean([c for _, c in scores.values()], axis=0),
    )
    return {
        "merges": len(real),
        "items": len(items),
        "r": {name: _rounded(np.corrcoef(*pair)[0, 1]) for name, pair in scores.items()},
        "rmse_points": {name: _rounded(100 * np.sqrt(np.mean((s - c) ** 2))) for name, (s, c) in scores.items()},
        "sd_points": {name: _rounded(100 * s.std()) for name, (s, _) in scores.items()},
        "auc": _rounded(_auc(real, chances)),
        "log_loss": [_rounded(_log_loss(real, chances)), _rounded(_log_loss(real, by_item))],
        "covered": _rounded(_covered(real, emulated, task)),
        **_noise(real, emulated, task),
        "flips_of_nearest": _flips(answers.genomes, real, emulated),
    }


def _auc(real: Floats, chances: Floats) -> float:
    found = []
    for right, chance in zip(real.T > 0.5, chances.T, strict=True):
        n = int(right.sum())
        if 3 <= n <= len(right) - 3:
            found.append((rankdata(chance)[right].sum() - n * (n + 1) / 2) / (n * (len(right) - n)))
    return float(np.mean(found))


def _log_loss(real: Floats, chances: Floats) -> float:
    p = np.clip(chances, 1e-4, 1 - 1e-4)
    return float(-(real * np.log(p) + (1 - real) * np.log(1 - p)).mean())


def _means(answers: Floats, task: NDArray[np.str_]) -> Floats:
    """Return macro-averages over tasks along the last axis."""
    return np.asarray(np.mean([answers[..., task == name].mean(axis=-1) for name in np.unique(task)], axis=0))


def _covered(real: Floats, emulated: Floats, task: NDArray[np.str_]) -> float:
    low, high = np.quantile(_means(emulated, task), [0.05, 0.95], axis=0)
    mean = _means(real, task)
    return float(((mean >= low) & (mean <= high)).mean())


def _noise(real: Floats, emulated: Floats, task: NDArray[np.str_]) -> Mapping[str, list[float]]:
    names, rng = np.unique(task), np.random.default_rng(0)
    each = N_ITEMS // len(names)
    kinds: dict[str, list[list[float]]] = {"own": [], "common": []}
    for _ in range(N_SUBSETS):
        common = np.concatenate([rng.choice(np.flatnonzero(task == name), each, replace=False) for name in names])
        own = np.array(
            [
                np.concatenate([rng.choice(np.flatnonzero(task == name), each, replace=False) for name in names])
                for _ in range(len(real))
            ]
        )
        one = emulated[int(rng.integers(len(emulated)))]
        for kind, at in (("own", own), ("common", np.tile(common, (len(real), 1)))):
            shown = [np.take_along_axis(answers, at, axis=1).mean(axis=1) for answers in (real, one)]
            pairs = zip(shown, (_means(real, task), _means(one, task)), strict=True)
            kinds[kind].append([float(np.corrcoef(few, whole)[0, 1]) for few, whole in pairs])
    return {f"{kind}_{N_ITEMS}_items": [_rounded(v) for v in np.mean(found, axis=0)] for kind, found in kinds.items()}


def _flips(genomes: Floats, real: Floats, emulated: Floats) -> dict[str, float]:
    apart = np.sqrt(((genomes[:, None] - genomes[None]) ** 2).sum(axis=-1))
    one, other = np.triu_indices(len(genomes), 1)
    nearest = np.argsort(apart[one, other])[:100]
    pairs = one[nearest], other[nearest]
    shares = [np.abs(answers[pairs[0]] - answers[pairs[1]]).mean() for answers in (real, *emulated)]
    return {
        "distance": _rounded(apart[pairs].mean()),
        "real": _rounded(shares[0]),
        "emulated": _rounded(np.mean(shares[1:])),
    }


def _rounded(value: float) -> float:
    return round(float(value), 4)


if __name__ == "__main__":
    guarded(main)
