"""What users and strangers write that evomerge reads: each with valid examples, spoilt, and what reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from tests.fuzz import archives, banks, checkpoints
from tests.fuzz.mutations import any_number_of_digits, as_json, mutated, mutated_bytes


@dataclass(frozen=True)
class Target:
    """A kind of input.

    Attributes:
        inputs: given a directory of its own, made once, the spoilt inputs.
        read: reads one; its directory is the same.
        quick: whether it is cheap enough for the fast suite.
    """

    inputs: Callable[[Path], st.SearchStrategy[Any]]
    read: Callable[[Any, Path], object]
    quick: bool = True


CAMPAIGN: dict[str, Any] = {
    "name": "fuzzed",
    "base": "base",
    "parents": ["alpha", {"name": "b", "model": "beta"}],
    "tokenizer": "strict",
    "allow_differences": ["rope_theta"],
    "merges": [{"name": "mean", "operator": "linear"}],
    "space": {
        "kind": "weights",
        "operator": ["task_arithmetic", "ties"],
        "groups": {"layer_blocks": 2, "modules": ["attention", "mlp", "other"]},
        "genes": {"weight": [0.0, 1.5]},
    },
    "objectives": [
        {"name": "sums", "tasks": ["sums.jsonl"], "weight": 1.0, "at_least": "base"},
        {"name": "words", "tasks": ["words.jsonl"]},
    ],
    "splits": {"search": 0.5, "validation": 0.2, "test": 0.3},
    "optimiser": {"kind": "nsga2", "population": 4},
    "landmarks": ["regmean"],
    "budget": {"evaluations": 12, "hours": 1.0},
    "schedule": {"kind": "screen", "keep": 0.5, "then": {"kind": "halving", "first": 0.25}},
    "workers": {"count": 1},
    "engine": {"dtype": "float32"},
    "seed": 3,
    "export": {"dtype": "float32"},
}
MERGEKIT: list[dict[str, Any]] = [
    {
        "merge_method": "ties",
        "base_model": "base",
        "dtype": "float32",
        "tokenizer_source": "base",
        "parameters": {"normalize": True, "int8_mask": False, "lambda": 1.0},
        "models": [
            {"model": "alpha", "parameters": {"weight": [{"filter": "mlp", "value": 0.1}, {"value": 1}]}},
            {"model": "beta", "parameters": {"weight": 0.5, "density": [0.2, 0.9]}},
        ],
    },
    {
        "merge_method": "slerp",
        "base_model": "base",
        "slices": [
            {"sources": [{"model": "base", "layer_range": [0, 2]}, {"model": "alpha", "layer_range": [0, 2]}]},
        ],
        "parameters": {"t": [{"filter": "self_attn", "value": [0, 0.5]}, {"value": 0.5}]},
        "dtype": "bfloat16",
    },
    {"merge_method": "passthrough", "slices": [{"sources": [{"model": "alpha", "layer_range": [0, 2]}]}]},
]
ITEMS: list[list[Any]] = [
    [
        {"question": "1 + 1 =", "choices": ["2", "3"], "gold": 0, "id": "one"},
        {"question": "2:", "choices": ["a", "b"], "answer": "b"},
    ],
    [{"prompt": "say a", "answer": "a"}, {"prompt": "say b", "answer": "b", "id": "two"}],
    [{"text": "a text", "id": "three"}, {"text": "another"}],
]


def _yaml_text(document: Any) -> st.SearchStrategy[bytes]:
    def dumped(spoilt: Any) -> bytes:
        with any_number_of_digits():
            return yaml.safe_dump(spoilt, allow_unicode=True, width=10**6).encode("utf-8", "surrogatepass")

    return mutated(document).map(dumped) | mutated_bytes(yaml.safe_dump(document).encode())


def _campaigns(directory: Path) -> st.SearchStrategy[bytes]:
    from tests.evomerge.conftest import write_tasks

    for name in ("base", "alpha", "beta"):
        (directory / name).mkdir()
        (directory / name / "config.json").write_text("{}")
    write_tasks(directory)
    return _yaml_text(CAMPAIGN)


def _read_campaign(content: bytes, directory: Path) -> None:
    from evomerge.config import dump_campaign, load_campaign

    file = directory / "campaign.yaml"
    file.write_bytes(content)
    config = load_campaign(file)
    assert dump_campaign(load_campaign(file, files_must_exist=False))
    assert dump_campaign(config)


def _recipes(directory: Path) -> st.SearchStrategy[bytes]:
    from tests.conftest import make_family

    make_family(directory, hidden=16)
    return st.one_of(map(_yaml_text, MERGEKIT))


def _read_recipe(content: bytes, directory: Path) -> None:
    from search_spaces.mergekit.reading import read_mergekit
    from search_spaces.output.export import output_names
    from search_spaces.parents.parents import Parents

    file = directory / "recipe.yml"
    file.write_bytes(content)
    recipe = read_mergekit(file)
    output_names(recipe, Parents.of(recipe))


def _tasks(_: Path) -> st.SearchStrategy[bytes]:
    def lines(rows: Any) -> st.SearchStrategy[bytes]:
        spoilt = st.tuples(*(st.just(row) | mutated(row) for row in rows))
        written = spoilt.map(lambda found: "\n".join(map(as_json, found)).encode("utf-8", "surrogatepass"))
        return written | mutated_bytes("\n".join(map(as_json, rows)).encode())

    return st.one_of(map(lines, ITEMS))


def _read_tasks(content: bytes, directory: Path) -> None:
    from fitness.scores import item_set_digest
    from fitness.splits import Splits
    from fitness.tasks.contents import contents_of
    from fitness.tasks.task_file import load_task_file

    file = directory / "task.jsonl"
    file.write_bytes(content)
    task = load_task_file(file)
    item_set_digest(task.item_ids)
    Splits.draw({task.name: contents_of(task)}, shares={"search": 1.0}, seed=0)


TARGETS = {
    "campaign YAML": Target(_campaigns, _read_campaign),
    "mergekit YAML": Target(_recipes, _read_recipe),
    "task JSONL": Target(_tasks, _read_tasks),
    "archive rows": Target(archives.spoilt_rows, archives.read),
    "archive bytes": Target(archives.spoilt_bytes, archives.read),
    "banks": Target(banks.spoilt, banks.read),
    **{name: Target(inputs, checkpoints.read, quick=False) for name, inputs in checkpoints.SPOILT.items()},
}
