"""A mergekit-evolve file as a campaign: the same models, method, groups of layers and tasks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evomerge.config.schema import SCHEMA_FILE
from evomerge.config.yaml_document import write_flow
from search_spaces.errors import SpaceError
from search_spaces.mergekit.models import FoundParents
from search_spaces.mergekit.parameters import read_setting
from search_spaces.mergekit.reading import read_documents
from search_spaces.mergekit.remarks import TOP, Remarks, sequence
from search_spaces.operators.registry import nearest_name
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.recipes.groups import n_layers
from search_spaces.recipes.recipe import ParentSource

_KEYS = (
    "genome",
    "tasks",
    "limit",
    "num_fewshot",
    "shuffle",
    "random_init",
    "apply_chat_template",
    "fewshot_as_multiturn",
)
_GENOME = (
    "models",
    "merge_method",
    "base_model",
    "tokenizer_source",
    "layer_granularity",
    "normalize",
    "allow_negative_weights",
    "filters",
    "smooth",
)
_METHODS = ("linear", "task_arithmetic", "ties", "dare_ties", "slerp")
_NEED_BASE = ("task_arithmetic", "ties", "dare_ties")
_KINDS = {"self_attn": "attention", "attn": "attention", "attention": "attention", "mlp": "mlp"}
_BLOCKS_OF_AN_UNKNOWN_DEPTH = 4
_EVALUATIONS = 100  # mergekit-evolve's own default


@dataclass(frozen=True)
class Translated:
    """A campaign file's text, and what of the other file it does not say."""

    text: str
    remarks: tuple[str, ...]


def campaign_of_evolve(path: Path, folder: Path) -> Translated:
    """Return the campaign for a mergekit-evolve file, written for a folder: paths below it are relative.

    What a campaign has no key for is remarked on, in the text too. Layers are counted in the first model where it is
    there.

    Raises:
        SpaceError: the file cannot be read, or is no mergekit-evolve file; the message names the key.
    """
    remarks = Remarks()
    try:
        documents = read_documents(path)
        data = remarks.mapping(documents[0], TOP, _KEYS, elsewhere={})
        if "genome" not in data or len(documents) > 1:
            raise SpaceError("expected a mergekit-evolve file, one document with the key genome, found none")
        genome = remarks.mapping(data["genome"], "genome", _GENOME, elsewhere={})
        lines = [*_models(genome, path, folder, remarks), *_tasks(data, remarks)]
    except SpaceError as error:
        raise SpaceError(error if str(error).startswith(str(path)) else f"{path}: {error}") from error
    return Translated("\n".join([*_head(path, remarks.texts), *lines]) + "\n", remarks.texts)


def _head(path: Path, remarks: Sequence[str]) -> Iterator[str]:
    yield f"# yaml-language-server: $schema={SCHEMA_FILE}"
    yield f"# Made of {path.name}, a mergekit-evolve file. Check it with `evomerge plan`, start it with `evomerge run`."
    if remarks:
        yield "# What it says otherwise:"
        yield from (f"# - {' '.join(remark.split())}" for remark in remarks)
    yield ""
    yield f"name: {write_flow(path.stem)}"


def _models(genome: Mapping[str, Any], path: Path, folder: Path, remarks: Remarks) -> Iterator[str]:
    """Yield what the genome says: models, method, groups, genes."""
    method = genome.get("merge_method")
    if method not in _METHODS:
        hint = nearest_name(str(method), _METHODS)
        raise SpaceError(f"genome.merge_method: expected one of {list(_METHODS)}, found {method!r}{hint}")
    found = FoundParents(path.parent, remarks, {})
    references = sequence(genome.get("models"), "genome.models")
    names = [found.name(reference, f"genome.models[{i}]") for i, reference in enumerate(references)]
    base = found.name(genome["base_model"], "genome.base_model") if genome.get("base_model") else None
    if base is None and method in _NEED_BASE:
        raise SpaceError(f"genome.base_model: expected one for {method}, found none")
    if method in _NEED_BASE or base not in names:
        names = [name for name in names if name != base]
        yield "" if base is None else f"base: {_model(found.sources[base], None, folder)}"
    else:  # merged like the others; the first one gives config and tokenizer
        names = [str(base), *(name for name in names if name != base)]
    if len(names) < 2:
        raise SpaceError(f"genome.models: expected two or more beside the base, found {names}")
    yield "parents:"
    yield from (f"  - {_model(found.sources[name], name, folder)}" for name in names)
    yield from _tokenizer(genome.get("tokenizer_source"), remarks)
    yield from _space(genome, str(method), len(names), found.sources[names[0]], remarks)


def _model(source: ParentSource, name: str | None, folder: Path) -> str:
    """Return a checkpoint as a campaign in the folder names it."""
    data = {key: value for key, value in vars(source).items() if value}
    for key in ("model", "adapter"):
        if key in data and Path(data[key]).exists():
            place = os.path.relpath(data[key], folder.absolute())
            data[key] = os.path.abspath(data[key]) if place.startswith("..") else f"./{place}"
    default = Path(data.get("adapter") or data["model"]).name
    if name not in (None, default):
        data["name"] = name
    return write_flow(data["model"] if len(data) == 1 else data)


def _tokenizer(source: object, remarks: Remarks) -> Iterator[str]:
    if source in ("base", "union"):
        yield f"tokenizer: {source}"
    elif source is not None:
        remarks.add("tokenizer_source", "a campaign has the base's tokens or the union of all; taken: union", "genome")
        yield "tokenizer: union"


def _space(genome: Mapping[str, Any], method: str, n: int, first: ParentSource, remarks: Remarks) -> Iterator[str]:
    operator = method
    if method == "slerp" and n > 2:
        why = "mergekit-evolve interpolates the two heaviest models of each group; taken: multislerp of all"
        remarks.add("merge_method", why, "genome")
        operator = "multislerp"
    genes: dict[str, object] = {"t": [0.0, 1.0]}
    if operator != "slerp":
        genes = {"weight": [-1.0 if genome.get("allow_negative_weights") else 0.0, 1.5]}
    if method in ("ties", "dare_ties"):
        genes["density"] = [0.1, 1.0]
    if method != "slerp":
        normalize = genome.get("normalize")
        genes["normalize"] = method != "task_arithmetic" if normalize is None else bool(normalize)
    if method == "dare_ties":
        genes["rescale"] = "l1"  # mergekit's
    groups: dict[str, object] = {"layer_blocks": _blocks(genome.get("layer_granularity"), first, remarks)}
    groups |= {"modules": _modules(genome.get("filters") or [], remarks)}
    groups |= {"depth": "linear"} if genome.get("smooth") else {}
    yield f"space: {{kind: weights, operator: {operator}, groups: {write_flow(groups)}, genes: {write_flow(genes)}}}"


def _blocks(granularity: object, first: ParentSource, remarks: Remarks) -> int:
    """Return how many blocks of so many layers the first model has."""
    if not isinstance(granularity, int) or granularity < 1:
        return 1
    try:
        depth = n_layers(Checkpoint.open(first).names)
    except SpaceError:
        why = f"{first.reference} is not here to count its layers: set layer_blocks to their number / {granularity}"
        remarks.add("layer_granularity", why, "genome")
        return _BLOCKS_OF_AN_UNKNOWN_DEPTH
    if depth % granularity:
        remarks.add(
            "layer_granularity", f"{depth} layers are no multiple of it; blocks are as even as they can", "genome"
        )
    return max(1, round(depth / granularity))


def _modules(filters: object, remarks: Remarks) -> list[str]:
    """Return the kinds of modules that filters tell apart."""
    if not filters:
        return ["all"]
    named = sequence(filters, "genome.filters")
    if {_KINDS.get(str(part)) for part in named} != {"attention", "mlp"}:
        why = f"a campaign tells attention, mlp and other apart, not {', '.join(map(str, named))}"
        remarks.add("filters", f"{why}; taken: all three", "genome")
    return ["attention", "mlp", "other"]


def _tasks(data: Mapping[str, Any], remarks: Remarks) -> Iterator[str]:
    """Yield what stands beside the genome: what is measured, and how it is asked."""
    tasks = sequence(data.get("tasks"), "tasks")
    yield "objectives:"
    names: list[str] = []
    for i, task in enumerate(tasks):
        entry = {"name": task} if isinstance(task, str) else task
        own = remarks.mapping(entry, f"tasks[{i}]", ("name", "weight", "metric"), elsewhere={})
        yield f"  - {write_flow(_objective(own, f'tasks[{i}]', names, remarks))}"
    prompts: dict[str, object] = {"apply_chat_template": data.get("apply_chat_template", True) is not False}
    prompts |= {} if data.get("fewshot_as_multiturn", True) else {"fewshot_as_multiturn": False}
    prompts |= {} if data.get("num_fewshot") is None else {"num_fewshot": data["num_fewshot"]}
    if "apply_chat_template" not in data:
        yield "# mergekit-evolve asks with the chat template unless told not to; false where the base has none"
    yield f"prompts: {write_flow(prompts)}"
    yield "# allow_benchmark_test_sets: true  # or take other items of a benchmark: arc_easy@validation"
    yield "optimiser: {kind: cma_es}"
    budget: dict[str, object] = {"evaluations": _EVALUATIONS}
    if isinstance(data.get("limit"), int):
        budget["items"] = data["limit"] * len(tasks)
    yield f"budget: {write_flow(budget)}"
    for key, why in (("shuffle", "items are split by a seed, never by their order"), ("random_init", "CMA-ES starts")):
        if data.get(key):
            remarks.add(key, why if key == "shuffle" else f"{why} at the best landmark, as it does without the key")


def _objective(task: Mapping[str, Any], key: str, names: list[str], remarks: Remarks) -> dict[str, object]:
    name, metric = task.get("name"), str(task.get("metric", "acc,none")).removesuffix(",none")
    if not isinstance(name, str) or not name:
        raise SpaceError(f"{key}.name: expected a task of lm-eval's, found {name!r}")
    weight = read_setting(task.get("weight", 1.0), f"{key}.weight", remarks)
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise SpaceError(f"{key}.weight: expected a number, found {weight!r}")
    if weight < 0:
        remarks.add(
            "weight", "taken without its sign: of measures of which less is better, less counts as more here", key
        )
    title = name if name not in names else f"{name} {metric}"
    names.append(title)
    return {"name": title, "tasks": [f"{name}:{metric}"], **({} if abs(weight) == 1 else {"weight": abs(weight)})}
