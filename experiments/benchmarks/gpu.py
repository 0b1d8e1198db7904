"""What a candidate costs on a GPU: merging from wherever parents lie, scoring, writing answers, and what that takes.

usage: python -m experiments.benchmarks.gpu [--size 8b|1b|tiny] [--device cuda|cpu] [--modes resident streamed mapped]

One command of five minutes at most on one GPU. The models (a base and two fine-tunes, in the shapes of Llama-3.1-8B or
Llama-3.2-1B) are random and made on the spot: nothing is downloaded, and 8b needs 48 GB of disk. Where mergekit or vLLM
are installed they do the same beside us: `mergekit-yaml --cuda`, and vLLM the same prompts. `--size tiny` goes the same
way on a CPU, in seconds. No GPU has run this yet.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
import yaml
from torch import nn

import evomerge as em
from experiments.benchmarks.synthetic import SIZES, words, write_models
from fitness import Completion, Continuation, LanguageModel, load_tokenizer
from fitness.engine.engines import language_model_for
from fitness.engine.language_model import CompletionLength
from search_spaces import Input, MergeMemory, Parents, Recipe, ResidentModel, Rule, build_module
from search_spaces.live.placing import placed
from search_spaces.residency.host_memory import HostMemory
from search_spaces.residency.supply import Mapped, Resident, Streamed, Supply

T = TypeVar("T")
MODES = ("resident", "streamed", "mapped")
OPERATORS = ("task_arithmetic", "ties")
N_CANDIDATES = 4  # of each operator; the first one prepares what all others find


@dataclass
class Passes:
    """Counts the forward passes of a model."""

    n: int = 0

    def __call__(self, *_: object) -> None:
        """Count one."""
        self.n += 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each thing that is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=sorted(SIZES), default="8b")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--keep", type=Path, help="a directory: models that lie there are used again")
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    with tempfile.TemporaryDirectory() as scratch:
        root = options.keep or Path(scratch)
        for line in measured(root, options.size, device, options.modes):
            print(line, flush=True)


def measured(root: Path, size: str, device: torch.device, modes: Sequence[str]) -> Iterator[str]:
    """Yield what is measured, in words."""
    yield f"device: {_named(device)}; torch {torch.__version__}; a synthetic {size}, base and two fine-tunes"
    seconds, places = _timed(lambda: write_models(root, size, device), device)
    yield f"models: written in {seconds:.0f} s"
    parents = Parents.open({name: em.ParentSource(str(place)) for name, place in places.items()}, base="base")
    model = placed(build_module(parents["base"], compute_dtype=torch.bfloat16), device)
    yield f"kernels of merges: {'compiled' if device.type == 'cpu' else 'eager'}; attention: " + (
        "sdpa" if device.type == "cpu" else "flex_attention, unless a warning says that it was given up"
    )
    resident = None
    for mode in modes:
        resident, lines = merging(model, parents, mode, device)
        yield from lines
    assert resident is not None
    language_model = language_model_for(load_tokenizer(places["base"]))
    yield from scoring(model, language_model, size, device)
    yield from writing(model, language_model, size, device)
    if device.type == "cuda":
        yield f"memory: at most {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB of the GPU were allocated"
    yield from peers(root, places, size, device)


def merging(model: nn.Module, parents: Parents, mode: str, device: torch.device) -> tuple[ResidentModel, list[str]]:
    """Return the live model after merges from parents that lie so, and what they took."""
    supply = _supply(mode, device)
    resident = ResidentModel(model, parents, memory=MergeMemory(supply=supply))
    lines = []
    for operator in OPERATORS:
        seconds = []
        for number in range(N_CANDIDATES):
            recipe = _recipe(parents, operator, 0.3 + 0.1 * number)
            seconds.append(_timed(lambda: resident.become(recipe), device)[0])  # noqa: B023
        later = statistics.median(seconds[1:])
        lines.append(f"merge, parents {mode}, {operator}: first {seconds[0]:.2f} s, later {later:.3f} s")
    return resident, lines


def scoring(model: nn.Module, language_model: LanguageModel, size: str, device: torch.device) -> Iterator[str]:
    """Yield what log-likelihoods of four-way items behind one header of examples take."""
    n_items, n_header, n_question = SIZES[size].items, SIZES[size].header, 40
    header = words(n_header, seed=0)
    requests = [
        Continuation(f"{header} {words(n_question, seed=1 + item)}", f" {words(2, seed=10_000 + 4 * item + choice)}")
        for item in range(n_items)
        for choice in range(4)
    ]
    plan = language_model.plan(requests)
    passes = Passes()
    handle = model.register_forward_pre_hook(passes)
    first, _ = _timed(lambda: plan.answer(model), device)
    passes.n = 0
    later, _ = _timed(lambda: plan.answer(model), device)
    handle.remove()
    each = 1000 * later / max(1, passes.n)
    yield (
        f"scoring: {n_items} four-way items behind {n_header} tokens: first {first:.2f} s, later {later:.2f} s, "
        f"{passes.n} passes of {each:.1f} ms"
    )


def writing(model: nn.Module, language_model: LanguageModel, size: str, device: torch.device) -> Iterator[str]:
    """Yield what greedy completions take."""
    prompts, n_tokens = _prompts(size), SIZES[size].written
    completions = [Completion(prompt, (), n_tokens) for prompt in prompts]
    plan = language_model.plan([CompletionLength(one) for one in completions])
    passes = Passes()
    handle = model.register_forward_pre_hook(passes)
    seconds, answers = _timed(lambda: plan.answer(model), device)
    handle.remove()
    tokens = sum(answer for answer in answers if isinstance(answer, int))
    each, live = 1000 * seconds / max(1, passes.n), tokens / max(1, passes.n)
    yield (
        f"writing: {len(prompts)} prompts, {tokens} tokens in {seconds:.2f} s, {tokens / seconds:.0f} tokens a second, "
        f"{passes.n} passes of {each:.1f} ms, {live:.0f} live on average"
    )


def peers(root: Path, places: dict[str, Path], size: str, device: torch.device) -> Iterator[str]:
    """Yield what mergekit and vLLM take, where they are installed."""
    if shutil.which("mergekit-yaml") is None:
        yield "mergekit: not installed"
    else:
        experts = [
            {"model": str(place), "parameters": {"weight": 0.4}} for name, place in places.items() if name != "base"
        ]
        recipe = {"merge_method": "task_arithmetic", "base_model": str(places["base"]), "models": experts}
        (root / "recipe.yml").write_text(yaml.safe_dump({**recipe, "dtype": "bfloat16"}), encoding="utf-8")
        cuda = ["--cuda"] if device.type == "cuda" else []
        command = ["mergekit-yaml", str(root / "recipe.yml"), str(root / "mergekit"), *cuda]
        seconds, done = _timed(lambda: subprocess.run(command, capture_output=True, check=False), device)
        yield f"mergekit: task_arithmetic to disk in {seconds:.1f} s (exit code {done.returncode})"
    if importlib.util.find_spec("vllm") is None:
        yield "vllm: not installed"
        return
    from vllm import LLM, SamplingParams

    torch.cuda.empty_cache()
    engine = LLM(model=str(places["base"]), gpu_memory_utilization=0.4, enable_prefix_caching=True)
    asked = SamplingParams(temperature=0, max_tokens=SIZES[size].written, ignore_eos=True)
    engine.generate(_prompts(size)[:2], asked)
    seconds, outputs = _timed(lambda: engine.generate(_prompts(size), asked), device)
    tokens = sum(len(output.outputs[0].token_ids) for output in outputs)
    yield f"vllm: {tokens} tokens in {seconds:.2f} s, {tokens / seconds:.0f} tokens a second"


def _prompts(size: str) -> list[str]:
    header = words(SIZES[size].header, seed=0)
    return [f"{header} {words(60, seed=50_000 + number)}" for number in range(SIZES[size].prompts)]


def _supply(mode: str, device: torch.device) -> Supply:
    if mode == "resident":
        return Resident(device)
    return Streamed(device, HostMemory(pinned=device.type == "cuda")) if mode == "streamed" else Mapped(device)


def _recipe(parents: Parents, operator: str, weight: float) -> Recipe:
    names = [name for name in parents.checkpoints if name != "base"]
    sources = {name: em.ParentSource(str(checkpoint.directory)) for name, checkpoint in parents.checkpoints.items()}
    parameters = {"weight": weight, **({"density": 0.3} if operator == "ties" else {})}
    return Recipe(sources, "base", (Rule(operator, tuple(Input(name, parameters) for name in names)),))


def _timed(work: Callable[[], T], device: torch.device) -> tuple[float, T]:
    """Return the seconds of work on a device, and what came of it."""
    _wait(device)
    began = time.perf_counter()
    found = work()
    _wait(device)
    return time.perf_counter() - began, found


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _named(device: torch.device) -> str:
    if device.type != "cuda":
        return f"CPU, {torch.get_num_threads()} threads"
    free, total = torch.cuda.mem_get_info(device)
    return f"{torch.cuda.get_device_name(device)}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free"


if __name__ == "__main__":
    main()
