"""One search among experts and distractors: what is run, and what it found."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import evomerge as em
from experiments.checkpoints import is_finished

EXPERTS = ("sort", "shift", "rotate")
TASKS = Path(__file__).parents[1] / "quickstart" / "tasks"
SPLITS = {"search": 0.1, "validation": 0.1, "test": 0.4}


@dataclass(frozen=True)
class Run:
    """One search with one seed."""

    search: str
    distractors: int
    seed: int
    winner: float  # macro-average on test items of the candidate that was picked on validation items
    best_parent: float  # the same of the best parent
    winner_is: str  # what the winner is called


def make_distractor(models: Path, directory: Path, seed: int) -> Path:
    """Write the base plus white noise that is in every tensor as long as the experts' task vectors are on average."""
    import torch
    from safetensors.torch import load_file, save_file

    if is_finished(directory):
        return directory
    base = load_file(models / "base" / "model.safetensors")
    experts = [load_file(models / name / "model.safetensors") for name in EXPERTS]
    generator = torch.Generator().manual_seed(1000 + seed)
    noisy = {}
    for name, weight in base.items():
        length = sum(float((expert[name] - weight).norm()) for expert in experts) / len(experts)
        noise = torch.randn(weight.shape, generator=generator)
        noisy[name] = weight + noise * (length / noise.norm())
    unfinished = directory.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(models / "base", unfinished)
    save_file(noisy, unfinished / "model.safetensors", metadata={"format": "pt"})
    unfinished.rename(directory)
    return directory


def campaign(models: Path, distractors: list[Path], seed: int, *, evaluations: int, changes: Mapping[str, Any]) -> Any:
    """Return the arguments of a search that leaves everything else as it comes."""
    return {
        "base": str(models / "base"),
        "parents": [*(str(models / name) for name in EXPERTS), *map(str, distractors)],
        "objectives": {"mean": [str(TASKS / f"{name}.jsonl") for name in EXPERTS]},
        "splits": SPLITS,
        "evaluations": evaluations,
        "seed": seed,
        "workers": {"count": 1, "cpus": 1},  # the models are too small for two
        **changes,
    }


def run(search: str, models: Path, distractors: list[Path], seed: int, *, directory: Path, **options: Any) -> Run:
    """Search as far as that is not done yet, verify, and return what was found."""
    found = em.search(**campaign(models, distractors, seed, **options), run_dir=directory)
    verified = found.verify(top=3)
    means = {row.name: row.mean for row in verified.rows}
    row = next(row for row in verified.rows if row.candidate == verified.winner)
    best = means[verified.verification.best_parent]
    return Run(search, len(distractors), seed, row.mean, best, row.name)
