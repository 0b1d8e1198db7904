"""Which engine runs a campaign's candidates, and a worker's resident model for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from evomerge.assembly.gpus import device_of, gpus_each, take_share
from evomerge.assembly.live_models import alone, build_resident, empty_module
from evomerge.assembly.parts import Parts
from evomerge.errors import is_installed, require
from evomerge.schedules import ScreenConfig
from evomerge.workers.protocol import WorkerSetupError
from evomerge.workers.worker import Resident
from fitness.engine.language_model import Completion, Continuation, Request, WholeText, run_for
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.trie import TrieLanguageModel
from search_spaces.layers.output_config import output_config
from search_spaces.output.companion_files import write_companions

if TYPE_CHECKING:
    from torch import nn

    from evomerge.workers.vllm.server import ServerSettings

EngineKind: TypeAlias = Literal["trie", "vllm"]

_CONFIG = "config.json"


def engine_of(parts: Parts) -> EngineKind:
    """Return the engine of a campaign's workers on this machine.

    Raises:
        MissingExtraError: it is vLLM, which is not installed.
        WorkerSetupError: it is vLLM, which cannot run such models or answer such tasks.
    """
    config = parts.config
    if config.engine.kind == "auto":
        able = is_installed("vllm") and gpus_each(config) > 0 and not config.space.has_paths
        return "vllm" if able and _generates_only(parts) and _tokenizer(parts) is not None else "trie"
    if config.engine.kind == "vllm":
        require("vllm", "vllm")
        _check_vllm(parts)
    return config.engine.kind


def engine_in_words(parts: Parts) -> str:
    """Return what `plan` says of the engine; nothing of evomerge's own."""
    if engine_of(parts) == "trie":
        return ""
    vllm = parts.config.engine.vllm
    devices = "one device" if vllm.devices == 1 else f"{vllm.devices} devices"
    rest = (
        ""
        if _generates_only(parts)
        else "; "
        + (
            "log-likelihoods are vLLM's, too"
            if vllm.devices > 1
            else "what else tasks ask is answered by evomerge's own engine on the same weights"
        )
    )
    return f"vLLM writes completions on {devices} a worker, merges are made inside of it{rest}"


def worker_resident(parts: Parts) -> Resident:
    """Return the resident model of a worker."""
    plain = partial(build_resident, parts.config, parts.parents)
    if engine_of(parts) == "trie":
        take_share(parts.config)
        return plain()
    from evomerge.workers.vllm.resident import InProcess, VllmResident
    from evomerge.workers.vllm.served_weights import ParentsToOpen
    from evomerge.workers.vllm.server import VllmServer

    config, tokenizer = parts.config, _tokenizer(parts)
    assert tokenizer is not None
    parents = ParentsToOpen(config.sources, config.base_name, config.output_tokenizer, dict(parts.places))
    server = VllmServer(partial(_write_skeleton, parts), parents, tokenizer, _settings(parts))
    here = InProcess(partial(_module_without_weights, parts), plain, parts.parents)
    return VllmResident(server, here if config.engine.vllm.devices == 1 else None)


def _module_without_weights(parts: Parts) -> nn.Module:
    """Return a module for weights that are elsewhere; its own, in ordinary memory and never touched, take none."""
    import torch

    dtype = getattr(torch, parts.config.engine.dtype)
    return empty_module(parts.parents, parts.config.base_name, dtype, device=torch.device("cpu"))


def _settings(parts: Parts) -> ServerSettings:
    from evomerge.workers.vllm.server import ServerSettings

    engine = parts.config.engine
    return ServerSettings(
        dtype=engine.dtype,
        on_gpu=engine.across_nodes or device_of(parts.config).type == "cuda",
        across_nodes=engine.across_nodes,
        tensor_parallel=engine.vllm.tensor_parallel,
        pipeline_parallel=engine.vllm.pipeline_parallel,
        memory_share=engine.vllm.memory_share,
        max_length=engine.vllm.max_length,
    )


def _write_skeleton(parts: Parts, directory: Path) -> None:
    """Write config and tokenizer of every recipe's model, without code."""
    config, parents = parts.config, parts.parents
    write_companions(parents, config.base_name, config.output_tokenizer, directory)
    merged = output_config(alone(config, config.base_name), parents)
    merged.pop("auto_map", None)
    (directory / _CONFIG).write_text(json.dumps(merged), encoding="utf-8")


def _check_vllm(parts: Parts) -> None:
    config = parts.config
    if config.space.has_paths:
        raise WorkerSetupError("engine.kind: expected auto or trie with a space of layers, found vllm")
    if _tokenizer(parts) is None:
        raise WorkerSetupError(
            "engine.kind: expected auto or trie for models that write no text of their own or have an encoder, found "
            "vllm; leave it out"
        )
    gpus, devices = config.workers.gpus, config.engine.vllm.devices
    if gpus is not None and gpus_each(config) not in (0.0, devices):
        raise WorkerSetupError(
            f"workers.gpus: expected {devices}, the devices of engine.vllm, found {gpus:g}; leave it out"
        )
    if config.engine.across_nodes and config.workers.backend != "ray":
        raise WorkerSetupError(
            "engine.vllm.across_nodes: expected workers: {backend: ray}, found in_process; leave it out"
        )
    asked = {type(request) for requests in _asked(parts) for request in requests}
    other = asked - {Completion, Continuation, WholeText}
    runs_models = not all(_asked(parts)) or isinstance(config.schedule, ScreenConfig)
    if devices > 1 and (other or runs_models):
        raise WorkerSetupError(
            f"engine.vllm: expected tasks of completions and log-likelihoods for a model on {devices} devices, found "
            "some that run the model itself or ask for distributions; leave such tasks, costs or the screen out, or "
            "write engine: {kind: trie}"
        )


def _generates_only(parts: Parts) -> bool:
    asked = list(_asked(parts))
    screens = isinstance(parts.config.schedule, ScreenConfig)
    return not screens and all(rs and all(isinstance(r, Completion) for r in rs) for rs in asked)


def _asked(parts: Parts) -> Iterator[list[Request]]:
    """Yield what the first item of each task asks; nothing where it runs the model itself."""
    first = {task: item for item, task in reversed(parts.fitness.task_of.items())}
    for item in first.values():
        yield [run_for(request) for request in parts.fitness.requests(item)]


def _tokenizer(parts: Parts) -> Tokenizer | None:
    """Return the tokenizer of models that continue texts; None where they do not."""
    engine = parts.fitness.language_model
    return engine.tokenizer if isinstance(engine, TrieLanguageModel) else None
