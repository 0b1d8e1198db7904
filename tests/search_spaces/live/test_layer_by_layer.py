from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from search_spaces.architecture.parts import checkpoint_parts, checkpoint_tensors
from search_spaces.errors import SpaceError
from search_spaces.layers.architecture import build_module
from search_spaces.live.layer_by_layer import collect_merged_grams
from search_spaces.operators.least_squares import least_squares
from search_spaces.parents.parents import Parents
from search_spaces.recipes.groups import locate
from search_spaces.statistics.grams import collect_grams
from search_spaces.statistics.store import StatisticsStore, together
from tests.conftest import save_model
from tests.search_spaces.merging.recipes import opened
from tests.search_spaces.statistics.models import make, reader

MOE = {"num_local_experts": 3, "num_experts_per_tok": 2, "head_dim": 4, "num_hidden_layers": 3}
COUNTS = torch.randint(0, 3, (6, 7), generator=torch.Generator().manual_seed(2))


def family(kind: str, root: Path, **settings: Any) -> Parents:
    base = make(kind, **settings)
    paths = {}
    for seed, name in enumerate(("alpha", "beta")):
        torch.manual_seed(seed)
        with torch.no_grad():
            for p in base.parameters():
                p.add_(torch.randn_like(p) * 0.05)
        paths[name] = save_model(root / name, base)
    return opened(paths)


def prompts(seed: int) -> Tensor:
    return torch.randint(3, 50, (6, 7), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("llama", {"num_hidden_layers": 3}),
        ("gpt2", {"n_layer": 3}),
        ("mixtral", MOE),
        (
            "gemma3_text",
            {"num_hidden_layers": 3, "head_dim": 4, "layer_types": ["sliding_attention"] * 2 + ["full_attention"]},
        ),
    ],
)
def test_it_is_what_rebuilding_the_whole_partly_merged_model_for_each_layer_gives(
    kind: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    parents = family(kind, tmp_path, **settings)
    reads = {name: reader(prompts(i), COUNTS) for i, name in enumerate(("alpha", "beta"))}
    module = build_module(parents["alpha"])
    store, digests = StatisticsStore(tmp_path / "store"), {"alpha": "a", "beta": "b"}
    collect_merged_grams(module, parents, reads, store=store, digests=digests)
    whole = together(digests.values())

    # The mean as float32 rounds it: one layer's ill-conditioned systems make much of the last bit.
    alpha, beta = parents["alpha"], parents["beta"]
    merged = {n: alpha.tensor(n) + (beta.tensor(n) - alpha.tensor(n)) / 2 for n in names(parents)}
    for layer in range(3):
        found = {}
        for name, read in reads.items():
            model = build_module(parents["alpha"])
            for key, weight in checkpoint_tensors(model).items():
                if key in merged:
                    here = locate(key).layer == layer
                    weight.copy_(parents[name].tensor(key) if here else merged[key])
            found[name] = collect_grams(model, read, weights=checkpoint_parts(model, model.state_dict()))
        for key in (n for n in names(parents) if locate(n).layer == layer):
            grams = [found[name].tensors[found[name].shares[key]] for name in reads if key in found[name].shares]
            for gram, name in zip(grams, reads, strict=bool(grams)):
                kept = store.tensor(digests[name], "merged_gram", key, whole)
                assert kept is not None
                assert torch.allclose(kept, gram, rtol=1e-4, atol=1e-5 * float(gram.abs().max()))
                first = store.is_input_first(digests[name], "merged_gram", key, whole)
                assert first == (key in found[name].input_first) == (kind == "gpt2")
            if grams:
                stored = [parents[name].tensor(key) for name in reads]
                turn = (lambda t: t.T) if kind == "gpt2" else (lambda t: t)
                merged[key] = turn(least_squares([turn(t) for t in stored], grams, [1.0, 1.0], 1.0, 1e-4))
    for key, weight in checkpoint_tensors(module).items():
        if key in merged and locate(key).layer != 2:
            assert torch.allclose(weight, merged[key], atol=2e-5), key


def names(parents: Parents) -> list[str]:
    return [name for name in parents["alpha"].names if parents["alpha"].dtype(name).is_floating_point]


def test_each_layer_is_run_twice_for_each_prompt_and_the_module_is_left_as_it_was_made(tmp_path: Path) -> None:
    parents = family("llama", tmp_path, num_hidden_layers=3)
    module = build_module(parents["alpha"])
    ran = [0, 0, 0]
    for i, layer in enumerate(module.model.layers):
        layer.mlp.register_forward_hook(lambda *_, i=i: ran.__setitem__(i, ran[i] + 1))
    digests = {"alpha": "a", "beta": "b"}
    reads = {name: reader(prompts(i), COUNTS) for i, name in enumerate(digests)}
    collect_merged_grams(module, parents, reads, store=StatisticsStore(tmp_path / "store"), digests=digests)
    n_passes = 3 * len(reads)
    assert ran == [2 * n_passes, 2 * n_passes, n_passes]
    assert not any("forward" in vars(layer) for layer in module.modules())


def test_parents_that_are_alike_have_the_grams_of_one(tmp_path: Path) -> None:
    parents = family("llama", tmp_path)
    same = opened({"one": tmp_path / "alpha", "two": tmp_path / "alpha"})
    module, store, digests = (
        build_module(parents["alpha"]),
        StatisticsStore(tmp_path / "store"),
        {"one": "a", "two": "b"},
    )
    read = reader(prompts(0), COUNTS)
    collect_merged_grams(module, same, dict.fromkeys(digests, read), store=store, digests=digests)
    model = build_module(parents["alpha"])
    for key, weight in checkpoint_tensors(model).items():
        weight.copy_(same["one"].tensor(key))
    plain = collect_grams(model, read, weights=checkpoint_parts(model, model.state_dict()))
    for key, share in plain.shares.items():
        kept = store.tensor("a", "merged_gram", key, together(digests.values()))
        assert kept is not None
        assert kept.equal(plain.tensors[share])


def test_a_model_without_layers_is_refused(tmp_path: Path) -> None:
    parents = family("llama", tmp_path)
    with pytest.raises(SpaceError, match="layers in a row"):
        collect_merged_grams(
            nn.Linear(2, 2), parents, {"alpha": reader(prompts(0), COUNTS)}, store=StatisticsStore(tmp_path), digests={}
        )
