"""Merging streams: its memory follows the largest tensor, not the model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

ROWS, WIDTH = 200_000, 256
LARGEST = ROWS * WIDTH * 4  # bytes of the embedding in float32
SLACK = 600 * 2**20
# Prints the peak of the process's own memory, without pages of mapped files, while it merges.
PEAK = """
import sys, threading
from pathlib import Path
from evomerge import merge

def own_kib():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon"))

peak, done = 0, threading.Event()
def watch():
    global peak
    while not done.wait(0.001):
        peak = max(peak, own_kib())

watcher = threading.Thread(target=watch)
watcher.start()
try:
    merge(Path(sys.argv[1]), Path(sys.argv[2]))
finally:
    done.set()
    watcher.join()
print(peak)
"""


# A checkpoint whose embedding is nearly all of it.
LARGE = {"model.embed_tokens.weight": (ROWS, WIDTH), "model.layers.0.mlp.up_proj.weight": (2 * WIDTH, WIDTH)}
# One of many tensors of eight megabytes in float32.
N_LAYERS = 48
MANY = {"model.embed_tokens.weight": (WIDTH, WIDTH)} | {
    f"model.layers.{i}.mlp.up_proj.weight": (32 * WIDTH, WIDTH) for i in range(N_LAYERS)
}


def save(directory: Path, shapes: dict[str, tuple[int, int]], seed: int) -> Path:
    """A checkpoint of tensors of these shapes."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: torch.randn(shape, generator=generator).bfloat16() for name, shape in shapes.items()}
    directory.mkdir()
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    # Of a type that transformers does not know: no model has these tensors alone.
    config = {"model_type": "few_tensors", "num_hidden_layers": len(shapes) - 1, "hidden_size": WIDTH}
    config["vocab_size"] = shapes["model.embed_tokens.weight"][0]
    (directory / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    return directory


# operator -> (what each expert has, the operator's own parameters)
MERGES: dict[str, tuple[dict[str, float], dict[str, object]]] = {
    "linear": ({"weight": 0.5}, {}),
    "task_arithmetic": ({"weight": 0.5}, {}),
    "ties": ({"weight": 0.5, "density": 0.3}, {}),
    "dare_ties": ({"weight": 0.5, "density": 0.3}, {"rescale": True}),
    "della": ({"weight": 0.5, "density": 0.3, "epsilon": 0.1}, {"rescale": True}),
    "breadcrumbs": ({"weight": 0.5, "density": 0.3, "gamma": 0.01}, {}),
    "sce": ({}, {"select_topk": 0.3}),
}


def peak_of_merging(operator: str, shapes: dict[str, tuple[int, int]], directory: Path, *, threads: int) -> int:
    """Bytes of the merging process's own memory at its peak."""
    base, *experts = (str(save(directory / name, shapes, seed)) for seed, name in enumerate(("base", "a", "b", "c")))
    each, whole = MERGES[operator]
    models = [{"model": model, "parameters": each} for model in experts]
    data = {"merge_method": operator, "models": models, "parameters": whole, "dtype": "bfloat16"}
    data |= {} if operator == "linear" else {"base_model": base}
    (directory / "merge.yml").write_text(yaml.safe_dump(data))
    command = [sys.executable, "-c", PEAK, str(directory / "merge.yml"), str(directory / "out")]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return 1024 * int(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("operator", MERGES)
def test_merging_holds_a_few_of_the_largest_tensor_whatever_the_model(operator: str, tmp_path: Path) -> None:
    assert LARGEST < peak_of_merging(operator, LARGE, tmp_path, threads=1) <= 6 * LARGEST + SLACK


@pytest.mark.slow
@pytest.mark.parametrize("operator", ["linear", "ties", "della"])
def test_a_model_of_many_tensors_holds_a_few_of_them_on_two_threads(operator: str, tmp_path: Path) -> None:
    one = 32 * WIDTH * WIDTH * 4
    assert one < peak_of_merging(operator, MANY, tmp_path, threads=2) <= 6 * one + SLACK
