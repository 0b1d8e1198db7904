from __future__ import annotations

from pathlib import Path

import torch

from search_spaces.layers.architecture import build_module
from search_spaces.live.placing import on_device, placed, stored_dtype
from search_spaces.live.resident import ResidentModel
from search_spaces.parents.parents import Parents
from tests.conftest import make_family
from tests.search_spaces.live.flows import family_of
from tests.search_spaces.merging.recipes import altered, copy_of, opened, recipe

TOKENS = torch.arange(24).view(2, 12) + 3


def test_a_module_that_is_placed_computes_what_it_did_where_it_was_built(tmp_path: Path) -> None:
    parents = family_of("Llama", tmp_path)
    found = []
    for place in (lambda module: module, lambda module: on_device(module, torch.device("cpu"))):
        model = ResidentModel(place(build_module(parents["base"])), parents)
        model.become(recipe(parents, copy_of("alpha")))
        with torch.no_grad():
            found.append(model.model(TOKENS).logits)
    assert found[0].equal(found[1])


def test_weights_are_not_copied_and_tied_ones_stay_tied(parents: Parents) -> None:
    module = build_module(parents["base"])
    assert placed(module, torch.device("cpu")) is module
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    there = on_device(module, torch.device("cpu"))
    for name, buffer in there.named_buffers():
        assert buffer.equal(buffers[name])
    assert there.lm_head.weight is there.model.embed_tokens.weight
    on_meta = placed(build_module(parents["base"]), torch.device("meta"))
    assert all(parameter.is_meta for parameter in on_meta.parameters())
    assert on_meta.lm_head.weight is on_meta.model.embed_tokens.weight


def test_a_checkpoint_is_stored_in_what_most_of_its_elements_are(tmp_path: Path) -> None:
    family = make_family(tmp_path)

    def halve(tensors: dict[str, torch.Tensor]) -> None:
        for name, tensor in tensors.items():
            if tensor.dim() == 2:
                tensors[name] = tensor.bfloat16()

    half = opened({"half": altered(family.base, tmp_path / "half", halve)})["half"]
    assert stored_dtype(half) == torch.bfloat16
    assert stored_dtype(opened({"base": family.base})["base"]) == torch.float32
