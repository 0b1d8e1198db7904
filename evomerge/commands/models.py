"""`evomerge merge` and `eval`: one recipe, one checkpoint, no search."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from evomerge.terminal import plain_table
from search_spaces.errors import SpaceError
from search_spaces.recipe import Recipe


def merge(recipe_file: Path, out: Path, console: Console) -> None:
    """Carry out a recipe, ours (.json) or mergekit's (.yml), and write the checkpoint."""
    from search_spaces.mergekit_yaml import read_mergekit
    from search_spaces.weights.export import export
    from search_spaces.weights.parents import Parents
    from search_spaces.weights.preflight import preflight

    if not recipe_file.is_file():
        raise SpaceError(f"{recipe_file}: expected a recipe (mergekit YAML, or JSON of ours), found no such file")
    if recipe_file.suffix == ".json":
        recipe = Recipe.from_json(recipe_file.read_text(encoding="utf-8"))
    else:
        recipe = read_mergekit(recipe_file)
    parents = Parents.open(recipe.parents)
    if recipe.layers is None:
        preflight(parents, recipe.base, read_weights=False).raise_for_errors()
    console.print(f"merged model: {export(recipe, parents, out)}", highlight=False)


def evaluate(model: str, tasks: Sequence[str], console: Console, *, as_json: bool) -> None:
    """Score one checkpoint on whole tasks and print a table, or JSON with every item's score."""
    from evomerge.build import load_checkpoint
    from fitness.engine.plain import PlainLanguageModel
    from fitness.engine.tokenizer import load_tokenizer
    from fitness.tasks.sources import load_tasks
    from fitness.tasks.suite import evaluate_tasks

    loaded = [task for group in load_tasks(tasks).values() for task in group]
    module, parents = load_checkpoint(model)
    engine = PlainLanguageModel(load_tokenizer(parents["model"].directory))
    results = evaluate_tasks(module, loaded, language_model=engine)
    if as_json:
        rows = [
            {
                "task": r.task,
                "metric": r.metric,
                "value": r.value,
                "stderr": r.stderr,
                "seconds": r.seconds,
                "items": dict(zip(r.scores.item_ids, r.scores.values.tolist(), strict=True)),
            }
            for r in results
        ]
        print(json.dumps({"model": model, "tasks": rows}, indent=2))
        return
    cells = [
        (r.task, r.metric, f"{r.value:.4f}", "" if r.stderr is None else f"{r.stderr:.4f}", f"{r.seconds:.1f}")
        for r in results
    ]
    console.print(plain_table(model, ("task", "metric", "value", "standard error", "seconds"), cells))
