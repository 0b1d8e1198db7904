"""Halves of layers that are out: live and exported alike, and as if the branch were not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from search_spaces.errors import SpaceError
from search_spaces.layers.halves import half_outlets
from search_spaces.layers.layer_behaviour import layers_of
from search_spaces.live.costs import depth_of, parameters_of
from search_spaces.parents.parents import Parents
from search_spaces.recipes.groups import module_kind
from search_spaces.recipes.recipe import Recipe
from search_spaces.spaces.flow import Flow
from search_spaces.spaces.layer_flow import LayerFlowSpace
from tests.search_spaces.live.flows import DEPTHS, family_of
from tests.search_spaces.live.test_layer_surgery import exported, generated, logits, resident

ARCHITECTURES = ("Llama", "Qwen2", "GPT2", "Gemma2", "Phi", "GPTNeoX", "Mixtral", "Olmo2")
PATH = [("alpha", 0, None), ("alpha", 1, "attention"), ("base", 2, "mlp"), ("beta", 3, None)]


def half_path(parents: Parents) -> Recipe:
    """The recipe of `PATH`, as its genome makes it."""
    space = space_of(parents, {name: checkpoint.source for name, checkpoint in parents.checkpoints.items()})
    genome, names = space.start() * 0.0, space.gene_names()
    for parent, layer, without in PATH:
        for gene, info in enumerate(names):
            if (info.parent, info.layers) == (parent, (layer, layer + 1)) and info.module != without:
                genome[gene] = 1.0
    return space.decode(genome)


def space_of(parents: Parents, sources: Any) -> LayerFlowSpace:
    return LayerFlowSpace(
        sources,
        "base",
        depths=DEPTHS,
        flow=Flow(halves=True),
        sources=("alpha", "base", "beta"),
        dtype="float32",
        outlets=half_outlets(parents["base"]),
    )


def without_branches(model: nn.Module) -> nn.Module:
    """Take the outputs of the branches away that `PATH` is without, whatever their weights."""
    for layer, (*_, without) in zip(layers_of(model), PATH, strict=True):
        for name, child in layer.named_children() if without else ():
            if module_kind([name, "weight"]) == without:
                child.register_forward_hook(_nothing)
    return model


def _nothing(_: nn.Module, __: Any, output: Any) -> Any:
    return (torch.zeros_like(output[0]), *output[1:]) if isinstance(output, tuple) else torch.zeros_like(output)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_path_of_half_layers_is_its_export_and_the_path_without_the_branches(
    architecture: str, tmp_path: Path
) -> None:
    parents = family_of(architecture, tmp_path)
    recipe = half_path(parents)
    live = resident(parents)
    live.become(recipe)
    plain = exported(recipe, parents, tmp_path / "out")
    assert logits(live.model).equal(logits(plain))
    assert generated(live.model).equal(generated(plain))
    whole = resident(parents)
    whole.become(replace(recipe, rules=tuple(rule for rule in recipe.rules if rule.where.contains is None)))
    before = logits(whole.model)
    expected = logits(without_branches(whole.model))
    torch.testing.assert_close(logits(plain), expected, atol=1e-5 * float(expected.abs().max()), rtol=0)
    assert not torch.allclose(before, expected, atol=1e-2 * float(expected.abs().max()))
    assert depth_of(live.model) == depth_of(plain) == 3.0
    assert depth_of(whole.model) == 4.0
    idle = parameters_of(whole.model) - parameters_of(live.model)
    assert 0.0 < idle < parameters_of(whole.model) / 2
    assert parameters_of(plain) == parameters_of(live.model)


def test_parameters_of_a_half_that_is_out_are_those_of_its_module(tmp_path: Path) -> None:
    parents = family_of("Llama", tmp_path)
    live = resident(parents)
    live.become(half_path(parents))
    layers = layers_of(live.model)
    out = [*layers[1].self_attn.parameters(), *layers[2].mlp.parameters()]
    n_all = sum(p.numel() for p in live.model.parameters())
    assert parameters_of(live.model) == pytest.approx((n_all - sum(p.numel() for p in out)) / 1e6)


def test_models_without_such_halves_are_refused_with_the_reason(tmp_path: Path) -> None:
    parents = family_of("Mamba", tmp_path)
    with pytest.raises(SpaceError, match="layers of mamba models cannot be without their attention or MLP"):
        half_outlets(parents["base"])
