"""Write a recipe as an ordinary checkpoint directory, tensor by tensor, all of it or nothing."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from search_spaces.errors import SpaceError
from search_spaces.recipe import Recipe
from search_spaces.weights.checkpoint_files import CONFIG, INDEX, TOKENIZER_FILES
from search_spaces.weights.materialise import merged_tensor, plan_tensor
from search_spaces.weights.output_config import output_config
from search_spaces.weights.parents import Parents
from search_spaces.weights.safetensors_writer import TensorSpec, split_shards, write_shard
from search_spaces.weights.sources import output_names

RECIPE = "recipe.json"
MODEL_CARD = "README.md"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
    specs = _specs(recipe, parents)
    shards = split_shards(specs, shard_bytes)
    copied = _base_files(parents[recipe.base].directory)
    texts = {
        CONFIG: json.dumps(output_config(recipe, parents), indent=2) + "\n",
        RECIPE: json.dumps(recipe.to_dict(), indent=2, ensure_ascii=False) + "\n",
        **({INDEX: _index(shards)} if len(shards) > 1 else {}),
        **({} if model_card is None else {MODEL_CARD: model_card}),
    }
    _check_target(target, parents)
    _check_extra_files(extra_files, {*texts, *shards, *copied})
    _check_room(target, sum(s.n_bytes for s in specs) + sum(p.stat().st_size for p in copied.values()))
    with _complete_or_nothing(target) as partial:
        for file, members in shards.items():
            write_shard(partial / file, members, lambda name: merged_tensor(recipe, parents, name))
        for file, path in copied.items():
            (partial / file).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, partial / file)
        for file, text in {**texts, **extra_files}.items():
            (partial / file).write_text(text, encoding="utf-8")
    return target


def _specs(recipe: Recipe, parents: Parents) -> list[TensorSpec]:
    plans = [plan_tensor(recipe, parents, name) for name in output_names(recipe, parents)]
    return [TensorSpec(plan.name, plan.shape, plan.dtype) for plan in plans]


def _index(shards: Mapping[str, list[TensorSpec]]) -> str:
    total = sum(spec.n_bytes for members in shards.values() for spec in members)
    weight_map = {spec.name: file for file, members in shards.items() for spec in members}
    return json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=2) + "\n"


def _base_files(directory: Path) -> dict[str, Path]:
    """Return what is copied from the base: path inside the checkpoint -> file."""
    patterns = ("generation_config.json", *TOKENIZER_FILES)
    found = {path for pattern in patterns for path in directory.glob(pattern) if path.is_file()}
    return {str(path.relative_to(directory)): path for path in sorted(found)}


def _check_target(target: Path, parents: Parents) -> None:
    for name, parent in parents.checkpoints.items():
        if target.is_relative_to(parent.directory) or parent.directory.is_relative_to(target):
            raise SpaceError(f"{target}: expected a directory apart from the parents, found parent {name!r} there")
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists():
        raise SpaceError(f"{target}: expected a new or empty directory, found one in use; name another")


def _check_extra_files(extra_files: Mapping[str, str], taken: set[str]) -> None:
    for file in extra_files:
        if file in taken or file in ("", ".", "..") or Path(file).name != file:
            raise SpaceError(f"extra_files: expected a file name that the export does not use itself, found {file!r}")


def _check_room(target: Path, needed: int) -> None:
    place = next(path for path in target.parents if path.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise SpaceError(f"{place}: expected {needed:,} free bytes for the export, found {free:,}; {_make_room()}")


def _make_room() -> str:
    return "make room on the disk, or export to another one"


@contextmanager
def _complete_or_nothing(target: Path) -> Iterator[Path]:
    """Yield a hidden directory beside the target, and rename it to the target when the block succeeds."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        with _claimed(partial):
            try:
                yield partial
                os.replace(partial, target)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
    except OSError as error:
        if error.errno in _FULL:
            raise SpaceError(f"{target}: the disk became full while exporting ({error}); {_make_room()}") from error
        raise SpaceError(f"{target}: cannot be written ({error}); check the path and its permissions") from error


@contextmanager
def _claimed(directory: Path) -> Iterator[None]:
    """Hold a lock on a new, empty directory; what a killed export left in it is removed."""
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not directory.exists() or os.fstat(descriptor).st_ino != directory.stat().st_ino:
            raise BlockingIOError  # its former owner has just renamed it
        for leftover in directory.iterdir():
            shutil.rmtree(leftover) if leftover.is_dir() and not leftover.is_symlink() else leftover.unlink()
        yield
    except BlockingIOError as error:
        raise SpaceError(f"{directory}: another export to the same place is under way") from error
    finally:
        os.close(descriptor)
