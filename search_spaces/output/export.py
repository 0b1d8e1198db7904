"""Write a recipe as an ordinary checkpoint directory, tensor by tensor, all of it or nothing."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from search_spaces.errors import SpaceError
from search_spaces.layers.layer_behaviour import check_config_tells
from search_spaces.layers.output_config import output_config
from search_spaces.layers.sources import output_names
from search_spaces.merging.materialise import carried_out, carry_out
from search_spaces.merging.memory import MergeMemory
from search_spaces.merging.plan import plan_tensors
from search_spaces.output.companion_files import companion_files
from search_spaces.output.complete_directory import check_room, check_target, complete_or_nothing
from search_spaces.output.safetensors_writer import TensorSpec, split_shards, write_shard
from search_spaces.output.written import check_planned, check_written
from search_spaces.parents.model_files import index_of, weights_name
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import RECIPE_FILE, Recipe

if TYPE_CHECKING:
    from torch import Tensor

MODEL_CARD = "README.md"
_LOG = logging.getLogger(__name__)


def export(  # noqa: PLR0913 -- what a directory is made of
    recipe: Recipe,
    parents: Parents,
    out_dir: Path,
    *,
    shard_bytes: int = 5 * 10**9,
    model_card: str | None = None,
    extra_files: Mapping[str, str] = MappingProxyType({}),
    make: Callable[[str], Tensor | None] | None = None,
    remote_code: bool = False,
    say: Callable[[str], object] = _LOG.info,
) -> Path:
    """Write the merged model to a new directory that plain transformers loads.

    The directory appears under its name only when it is complete. Weights are the values of
    `merged_tensor`; tokenizer, chat template, generation config, processor, licence and what else belongs to a model
    are the base's.

    Args:
        recipe: the merge; saved beside the weights as recipe.json.
        parents: the recipe's parents, opened.
        out_dir: must not exist, or be empty.
        shard_bytes: the largest size of one weight file.
        model_card: the text of README.md.
        extra_files: file name -> text.
        make: returns the tensor of a name, of the shape and dtype that the recipe has for it, in place of the recipe,
            which is not saved then; None: the recipe makes this one.
        remote_code: whether to copy code that lies beside the base; it is not run. Else the config does not name it.
        say: told what was left out, and what beside the weights was not merged.

    Returns:
        The directory, absolute.

    Raises:
        SpaceError: the directory is in use or too near to a parent, a parent or the merge lacks what its architecture
            needs, the recipe cannot be carried out, or the disk has not enough room; nothing is left behind.
    """
    target = Path(out_dir).expanduser().resolve()
    for name in recipe.parents:
        parents[name].check_whole()
    plans = plan_tensors(recipe, parents, output_names(recipe, parents))
    config = output_config(recipe, parents)
    check_config_tells(recipe, parents, config)
    specs = [TensorSpec(plan.name, plan.shape, plan.dtype) for plan in plans.values()]
    if not parents[recipe.base].brings_code:
        check_planned(config, specs)
    weights = weights_name(parents[recipe.base].directory)
    shards = split_shards(specs, shard_bytes, weights)
    beside = companion_files(recipe, parents, config, remote_code=remote_code)
    for note in beside.notes:
        say(note)
    copied = {name: file for name, file in beside.files.items() if isinstance(file, Path)}
    texts = {
        **{name: text for name, text in beside.files.items() if isinstance(text, str)},
        **({} if make else {RECIPE_FILE: json.dumps(recipe.to_dict(), indent=2, ensure_ascii=False) + "\n"}),
        **({index_of(weights): _index(shards)} if len(shards) > 1 else {}),
        **({} if model_card is None else {MODEL_CARD: model_card}),
    }
    check_target(target, parents)
    _check_extra_files(extra_files, {*texts, *shards, *copied})
    check_room(target, sum(s.n_bytes for s in specs) + sum(p.stat().st_size for p in copied.values()))
    memory = MergeMemory(repeated=False)

    def tensors(names: Sequence[str]) -> Iterator[Tensor]:
        if make is None:
            yield from carried_out([plans[name] for name in names], parents, memory=memory)
            return
        for name in names:
            made = make(name)
            yield carry_out(plans[name], parents, memory=memory) if made is None else made

    with complete_or_nothing(target) as partial:
        for file, members in shards.items():
            write_shard(partial / file, members, tensors)
        for file, path in copied.items():
            (partial / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, partial / file)
        for file, text in {**texts, **extra_files}.items():
            (partial / file).write_text(text, encoding="utf-8")
        check_written(partial, shards, index_of(weights))
    return target


def _index(shards: Mapping[str, list[TensorSpec]]) -> str:
    total = sum(spec.n_bytes for members in shards.values() for spec in members)
    weight_map = {spec.name: file for file, members in shards.items() for spec in members}
    return json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=2) + "\n"


def _check_extra_files(extra_files: Mapping[str, str], taken: set[str]) -> None:
    for file in extra_files:
        if file in taken or file in ("", ".", "..") or Path(file).name != file:
            raise SpaceError(f"extra_files: expected a file name that the export does not use itself, found {file!r}")
