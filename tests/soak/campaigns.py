"""Real campaigns over tiny models: each an optimiser, a space or a schedule of its own."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

import yaml

ONE_BLOCK = {"operator": "task_arithmetic", "groups": {"layer_blocks": 1, "modules": ["all"]}}
# Which landmarks `auto` takes depends on how long they take to prepare: here there is none unless named.
CAMPAIGNS: dict[str, dict[str, object]] = {
    "nsga2": {},
    "cma_es": {"optimiser": {"kind": "cma_es", "population": 4}},
    "random": {"optimiser": {"kind": "random"}},
    "informed": {"landmarks": ["regmean", "task_arithmetic"], "budget": {"evaluations": 14}},
    "m2n2": {"space": {"kind": "niches"}, "optimiser": {"kind": "m2n2", "population": 4}},
    "map": {"space": ONE_BLOCK, "optimiser": {"kind": "map"}},
    "halving": {"schedule": "halving", "optimiser": {"kind": "cma_es", "population": 8}, "budget": {"evaluations": 24}},
    "own items": {"schedule": "own_items", "budget": {"evaluations": 16, "items": 6}},
    "screen": {"schedule": {"kind": "screen", "prompts": 8}, "budget": {"evaluations": 16}},
    "layer_flow": {"space": {"kind": "layer_flow"}, "optimiser": {"kind": "structured"}, "workers": {"together": 4}},
    "merges": {"merges": [{"name": "sum", "operator": "regmean"}]},
    "stages": {
        "stages": [
            {"name": "averages", "space": ONE_BLOCK, "optimiser": {"kind": "random"}},
            {"name": "last", "space": ONE_BLOCK, "optimiser": {"kind": "random"}, "parents": ["averages", "beta"]},
        ],
        "budget": {"evaluations": 8},
    },
}


def command(*arguments: str) -> None:
    """Carry out one command line in this process, as the installed program does."""
    from evomerge.cli.app import main

    sys.argv = ["evomerge", *arguments]
    main()


def program(*arguments: str) -> None:
    """Become the installed program: what its libraries read when they are imported is read under the limits here."""
    os.execv(sys.executable, [sys.executable, "-m", "evomerge.cli", *arguments])


@functools.cache
def inputs(directory: Path) -> Path:
    """Make models, tasks and campaign files; return where they are."""
    from tests.conftest import make_family
    from tests.evomerge.conftest import campaign_data, write_tasks

    directory.mkdir(parents=True)
    family = make_family(directory, hidden=16)
    write_tasks(directory)
    for name, overrides in CAMPAIGNS.items():
        data = campaign_data(family, name=name, **{"landmarks": "none", **overrides})
        if "stages" in overrides:
            del data["space"], data["optimiser"]
        (directory / f"{name}.yaml").write_text(yaml.safe_dump(data))
    models = [{"model": str(path), "parameters": {"weight": 0.5}} for path in family.experts.values()]
    recipe = {"merge_method": "linear", "models": models, "dtype": "float32"}
    (directory / "recipe.yml").write_text(yaml.safe_dump(recipe))
    return directory
