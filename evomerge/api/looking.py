"""What models and this machine are, by their files alone: no weight is read, and nothing is downloaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evomerge.errors import EvomergeError, in_brief
from search_spaces.parents.adapter_files import is_adapter
from search_spaces.parents.checkpoint_files import ADAPTER_CONFIG, read_config, read_json
from search_spaces.parents.tokenizer_files import chat_template, read_tokenizer
from search_spaces.parents.weight_files import find_shards

UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


@dataclass(frozen=True)
class Seen:
    """A model by its files.

    Attributes:
        model: as it was named.
        words: what it is, on one line.
        chat_template: whether it has one.
        tokens: what its vocabulary is known by; None where no file tells.
    """

    model: str
    words: str
    chat_template: bool = False
    tokens: frozenset[tuple[str, int]] | None = None


def look(model: str) -> Seen:
    """Look at a directory's files; of a hub id nothing is known before it is downloaded."""
    directory = Path(model).expanduser()
    if not directory.is_dir():
        nothing = model.startswith((".", "/", "~")) or model.count("/") > 1
        return Seen(model, "no such directory" if nothing else "of the hub; `evomerge plan` downloads and compares it")
    try:
        if is_adapter(directory):
            named = (
                read_json(directory / ADAPTER_CONFIG).get("base_model_name_or_path") or "a model that it does not name"
            )
            return Seen(model, f"an adapter on {named}")
        config, ids = read_config(directory), read_tokenizer(directory).ids
        size = sum(file.stat().st_size for file in find_shards(directory))
        templated = chat_template(directory) is not None
    except EvomergeError as error:
        return Seen(model, f"cannot be read: {in_brief(error)}")
    layers = config.get("num_hidden_layers") or config.get("n_layer")
    parts = [str(config.get("model_type", "a model")), f"{layers} layers" if layers else "", _in_words(size)]
    parts += [f"{len(ids)} tokens" if ids else "", "a chat template" if templated else ""]
    return Seen(model, ", ".join(filter(None, parts)), templated, frozenset(ids.items()) if ids else None)


def _in_words(size: int) -> str:
    unit, name = next(((u, n) for u, n in UNITS if size >= u), UNITS[-1])
    return f"{size / unit:.1f} {name}"


def base_of(parents: Sequence[str]) -> str | None:
    """Return the model that all parents are adapters on, where they name one and the same."""
    named = set()
    for parent in parents:
        directory = Path(parent).expanduser()
        if not (directory.is_dir() and is_adapter(directory)):
            return None
        name = str(read_json(directory / ADAPTER_CONFIG).get("base_model_name_or_path") or "")
        named.add(os.path.relpath(directory / name) if name and (directory / name).is_dir() else name)
    found = named.pop() if len(named) == 1 else ""
    return found or None


def gpus() -> int:
    """Return how many GPUs torch can use; torch is asked only where Linux has a driver's devices."""
    if not list(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/kfd").exists():
        return 0
    import torch

    return torch.cuda.device_count()


def remarks(parents: Sequence[str], base: str | None) -> list[tuple[str, str]]:
    """Return what is to be said of models and machine, in pairs of a subject and one line."""
    root = base_of(parents) if base is None else base
    seen = [look(model) for model in [*([] if root is None else [root]), *parents]]
    lines = [(one.model, one.words) for one in seen]
    if root is None:
        lines.append(("base", "none: weights are averaged; with --base BASE task vectors are, which merges better"))
    elif base is None:
        lines.append(("base", f"{root}, as the adapters say"))
    if len({one.tokens for one in seen if one.tokens}) > 1:
        lines.append(("tokens", "the models' vocabularies differ: the campaign merges their union (tokenizer: union)"))
    found = gpus()
    lines.append(("machine", f"{found} GPUs" if found > 1 else "one GPU" if found else "no GPU: scored on the CPU"))
    return lines
