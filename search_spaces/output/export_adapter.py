"""Write a merge of LoRA adapters as one LoRA adapter on the same base, in peft's format."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.layers.sources import output_names
from search_spaces.merging.materialise import carry_out
from search_spaces.merging.plan import TensorPlan, plan_tensor
from search_spaces.output.adapter_parts import AdapterParts, add_rows, add_stacks, trained_tokens
from search_spaces.output.complete_directory import check_target, complete_or_nothing
from search_spaces.output.low_rank import LowRank, decomposed, leaves_unchanged, side_by_side, truncated, updates
from search_spaces.output.safetensors_writer import TensorSpec
from search_spaces.output.written import check_written
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.checkpoint_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from search_spaces.parents.low_rank_update import LowRankUpdate
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import RECIPE_FILE, ParentSource, Recipe


@dataclass(frozen=True)
class AdapterExport:
    """What was written."""

    directory: Path  # absolute
    rank: int  # the largest of its modules'
    # norm of what the adapter misses of the merge's change to the low-rank weights, as a share of its norm; 0.0 where
    # the parents' factors were put side by side
    error: float
    worst: tuple[str, float]  # (tensor, its own share) where most is missing; ("", 0.0) where nothing is


def export_adapter(recipe: Recipe, parents: Parents, out_dir: Path, *, rank: int | None = None) -> AdapterExport:
    """Write what a recipe changes in the base that its adapters share.

    Args:
        recipe: the merge; at least one parent is an adapter.
        parents: the recipe's parents, opened.
        out_dir: must not exist, or be empty.
        rank: the largest rank of a module. Left out: the sum of its parents' ranks, which is exact where the operator
            adds the parents with one weight each.

    Raises:
        SpaceError: no adapter among the parents, or adapters of several bases; the recipe changes layers, the
            vocabulary or a matrix that no adapter touches (name a rank); or it cannot be carried out.
    """
    if recipe.layers is not None or recipe.tokenizer.source is not None:
        raise SpaceError("--as-adapter: expected a recipe with the base's layers and tokens, found other ones")
    if recipe.pieces is not None:
        raise SpaceError("--as-adapter: expected a recipe of rules, found pieces; merge it as a whole model")
    target = Path(out_dir).expanduser().resolve()
    check_target(target, parents)
    for name in recipe.parents:
        parents[name].check_whole()
    source, base = _common_base(parents)
    parts = AdapterParts(base)
    stacked = {key for c in parents.checkpoints.values() if c.adapter is not None for key in c.adapter.stacks}
    stacks: dict[str, list[TensorPlan]] = {key: [] for key in sorted(stacked)}
    for name in output_names(recipe, parents):
        plan = plan_tensor(recipe, parents, name)
        if plan.rule is not None and (key := base.architecture.keys.get(name, "")) in stacks:
            stacks[key].append(plan)
        elif plan.rule is not None:
            _add(parts, plan, parents, base, rank)
    add_stacks(parts, {key: plans for key, plans in stacks.items() if plans}, parents, rank)
    if not parts.tensors:
        raise SpaceError("--as-adapter: expected a merge that differs from the base, found none")
    with complete_or_nothing(target) as partial:
        _write(partial, parts, source, recipe)
    return _report(target, parts)


def _common_base(parents: Parents) -> tuple[ParentSource, Checkpoint]:
    adapted = [checkpoint for checkpoint in parents.checkpoints.values() if checkpoint.adapter is not None]
    directories = {checkpoint.directory for checkpoint in adapted}
    if len(directories) != 1:
        found = ", ".join(sorted(map(str, directories))) or "no adapter"
        raise SpaceError(f"--as-adapter: expected parents that are adapters on one base, found {found}")
    first = adapted[0]
    assert first.adapter is not None
    named = first.source.adapter is not None
    source = ParentSource(first.source.model, first.source.revision) if named else first.adapter.files.base
    return source, Checkpoint.open(source)


def _add(parts: AdapterParts, plan: TensorPlan, parents: Parents, base: Checkpoint, rank: int | None) -> None:
    # A tied base has no head of its own, but the merge of an adapted one has.
    original = base.lazy(plan.name if plan.name in base or base.embedding is None else base.embedding)
    if tuple(original.shape) != plan.shape:
        raise SpaceError(f"{plan.name}: expected {original.shape} as in {base.directory}, found {plan.shape}")
    found = updates(plan, parents, original)
    if found == {} and leaves_unchanged(plan, parents, original):
        return
    if tokens := trained_tokens(plan, parents):
        if not add_rows(parts, plan, parents, tokens):
            _save_module(parts, plan, parents, original.read())
        return
    if not found and (len(plan.shape) != 2 or not plan.name.endswith(".weight") or _replaced(plan, parents)):
        _save_module(parts, plan, parents, original.read())
        return
    n_added = sum(update.rank for update in (found or {}).values())
    limit = min(*plan.shape, rank or n_added)
    if limit == 0:
        raise SpaceError(f"{plan.name}: changes, but no adapter tells with which rank; name one with --rank")
    exact = side_by_side(plan, found) if found else None
    if exact is not None:
        change = truncated(exact, limit)
    else:
        change = decomposed(plan, parents, original, rank=limit, memory=parts.memory)
    if change.norm > 0.0:
        some = next(iter(found.values())) if found else None
        _add_factors(parts, plan.name, change, some, of_embedding=plan.name == base.embedding)


def _replaced(plan: TensorPlan, parents: Parents) -> bool:
    """Return whether some input's adapter holds the whole tensor (`modules_to_save`)."""
    adapters = [(parents[parent].adapter, source) for parent, source in plan.sources]
    return any(adapter is not None and source in adapter.replaced for adapter, source in adapters)


def _save_module(parts: AdapterParts, plan: TensorPlan, parents: Parents, original: Tensor) -> None:
    merged = carry_out(plan, parents)
    if merged.to(torch.float32).equal(original.to(torch.float32)):
        return
    key = parts.key(plan.name)
    parts.tensors[f"base_model.model.{key}"] = merged
    parts.saved_modules.add(key.rsplit(".", 1)[0])


def _add_factors(
    parts: AdapterParts, name: str, change: LowRank, update: LowRankUpdate | None, *, of_embedding: bool
) -> None:
    guessed = parts.base.architecture.guessed
    module = update.module if update is not None and guessed else parts.key(name).removesuffix(".weight")
    transposed = of_embedding or (update is not None and update.transposed)
    up, down = (change.right.T, change.left.T) if transposed else (change.left, change.right)
    kind, suffix = ("lora_embedding", "") if of_embedding else ("lora", ".weight")
    parts.tensors[f"base_model.model.{module}.{kind}_A{suffix}"] = down.contiguous()
    parts.tensors[f"base_model.model.{module}.{kind}_B{suffix}"] = up.contiguous()
    alone = not parts.places.is_of_layer(f"{module}.weight")
    parts.parameters |= {f"{module}.weight"} if alone else set()
    parts.ranks[f"{module}.weight" if alone else module] = down.shape[0]
    parts.errors[name] = (change.error, change.norm)
    parts.fan_in_fan_out |= transposed and not of_embedding


def _write(directory: Path, parts: AdapterParts, base: ParentSource, recipe: Recipe) -> None:
    from safetensors.torch import save_file

    save_file(parts.tensors, directory / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    specs = [TensorSpec(name, tuple(tensor.shape), tensor.dtype) for name, tensor in parts.tensors.items()]
    check_written(directory, {ADAPTER_WEIGHTS: specs}, "")
    usual = max(parts.ranks.values(), default=1)
    others = {module: rank for module, rank in parts.ranks.items() if rank != usual}
    config: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.model,
        "revision": base.revision,
        "r": usual,
        "lora_alpha": usual,  # scales are in the factors
        "rank_pattern": others,
        "alpha_pattern": others,
        "target_modules": sorted(parts.ranks.keys() - parts.parameters),
        "target_parameters": sorted(parts.parameters) or None,
        "trainable_token_indices": parts.tokens or None,
        "modules_to_save": sorted(parts.saved_modules) or None,
        "fan_in_fan_out": parts.fan_in_fan_out,
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": True,
    }
    (directory / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    text = json.dumps(recipe.to_dict(), indent=2, ensure_ascii=False) + "\n"
    (directory / RECIPE_FILE).write_text(text, encoding="utf-8")


def _report(target: Path, parts: AdapterParts) -> AdapterExport:
    norm = math.sqrt(sum(norm**2 for _, norm in parts.errors.values()))
    error = math.sqrt(sum(error**2 for error, _ in parts.errors.values()))
    shares = {name: error / norm for name, (error, norm) in parts.errors.items()}
    worst = max(shares, key=shares.__getitem__, default="")
    missed = shares.get(worst, 0.0) > 0.0
    return AdapterExport(
        directory=target,
        rank=max(parts.ranks.values(), default=0),
        error=error / norm if norm else 0.0,
        worst=(worst, shares[worst]) if missed else ("", 0.0),
    )
