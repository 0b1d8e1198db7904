"""Write a recipe as an ordinary checkpoint directory, tensor by tensor, all of it or nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from search_spaces.errors import SpaceError
from search_spaces.layers.layer_behaviour import check_config_tells
from search_spaces.layers.output_config import output_config
from search_spaces.layers.sources import output_names
from search_spaces.merging.materialise import carry_out
from search_spaces.merging.memory import MergeMemory
from search_spaces.merging.plan import plan_tensors
from search_spaces.output.complete_directory import check_room, check_target, complete_or_nothing
from search_spaces.output.output_tokenizer import tokenizer_files
from search_spaces.output.safetensors_writer import TensorSpec, split_shards, write_shard
from search_spaces.parents.checkpoint_files import CONFIG, INDEX
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import RECIPE_FILE, Recipe

MODEL_CARD = "README.md"


def export(
    recipe: Recipe,
    parents: Parents,
    out_dir: Path,
    *,
    shard_bytes: int = 5 * 10**9,
    model_card: str | None = None,
    extra_files: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Write the merged model to a new directory that plain transformers loads.

    The directory appears under its name only when it is complete. Weights are the values of
    `merged_tensor`; tokenizer, chat template and generation config are the base's.

    Args:
        recipe: the merge; saved beside the weights as recipe.json.
        parents: the recipe's parents, opened.
        out_dir: must not exist, or be empty.
        shard_bytes: the largest size of one weight file.
        model_card: the text of README.md.
        extra_files: file name -> text.

    Returns:
        The directory, absolute.

    Raises:
        SpaceError: the directory is in use or too near to a parent, the recipe cannot be carried out, or the disk has
            not enough room; nothing is left behind.
    """
    target = Path(out_dir).expanduser().resolve()
    plans = plan_tensors(recipe, parents, output_names(recipe, parents))
    config = output_config(recipe, parents)
    check_config_tells(recipe, parents, config)
    specs = [TensorSpec(plan.name, plan.shape, plan.dtype) for plan in plans.values()]
    shards = split_shards(specs, shard_bytes)
    tokenizer = tokenizer_files(parents, recipe.base, recipe.tokenizer)
    copied = {name: file for name, file in tokenizer.items() if isinstance(file, Path)}
    texts = {
        **{name: text for name, text in tokenizer.items() if isinstance(text, str)},
        CONFIG: json.dumps(config, indent=2) + "\n",
        RECIPE_FILE: json.dumps(recipe.to_dict(), indent=2, ensure_ascii=False) + "\n",
        **({INDEX: _index(shards)} if len(shards) > 1 else {}),
        **({} if model_card is None else {MODEL_CARD: model_card}),
    }
    check_target(target, parents)
    _check_extra_files(extra_files, {*texts, *shards, *copied})
    check_room(target, sum(s.n_bytes for s in specs) + sum(p.stat().st_size for p in copied.values()))
    memory = MergeMemory(repeated=False)
    with complete_or_nothing(target) as partial:
        for file, members in shards.items():
            write_shard(
                partial / file,
                members,
                lambda names: (carry_out(plans[name], parents, memory=memory) for name in names),
            )
        for file, path in copied.items():
            (partial / file).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, partial / file)
        for file, text in {**texts, **extra_files}.items():
            (partial / file).write_text(text, encoding="utf-8")
    return target


def _index(shards: Mapping[str, list[TensorSpec]]) -> str:
    total = sum(spec.n_bytes for members in shards.values() for spec in members)
    weight_map = {spec.name: file for file, members in shards.items() for spec in members}
    return json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=2) + "\n"


def _check_extra_files(extra_files: Mapping[str, str], taken: set[str]) -> None:
    for file in extra_files:
        if file in taken or file in ("", ".", "..") or Path(file).name != file:
            raise SpaceError(f"extra_files: expected a file name that the export does not use itself, found {file!r}")
