from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.architecture.parts import checkpoint_parts, checkpoint_tensors
from search_spaces.errors import SpaceError
from search_spaces.recipes.groups import locate
from search_spaces.statistics.gradients import Gradients, collect_gradients
from tests.search_spaces.statistics.models import make

PROMPTS = torch.randint(3, 50, (4, 7), generator=torch.Generator().manual_seed(1))
SETTINGS = {"num_local_experts": 3, "num_experts": 3, "num_experts_per_tok": 2, "head_dim": 4}
SETTINGS |= {"moe_intermediate_size": 20, "layer_types": ["full_attention"] * 2}


def losses(model: nn.Module) -> Iterator[Tensor]:
    for ids in PROMPTS:
        logits = model(input_ids=ids[None]).logits[0]
        yield functional.cross_entropy(logits[:-1], ids[1:])


def collected(model: nn.Module) -> Gradients:
    return collect_gradients(model, losses, weights=checkpoint_parts(model, model.state_dict()), outputs=True)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mixtral", "gpt_oss", "phi3"])
def test_fisher_and_sensitivity_are_those_of_one_backward_pass_per_sequence(kind: str) -> None:
    model = make(kind, **SETTINGS, tie_word_embeddings=kind != "phi3")
    found = collected(model)
    names = dict(model.named_parameters())
    squares = {name: torch.zeros_like(p) for name, p in names.items()}
    moved = {name: 0.0 for name in names}
    for loss in losses(model):
        for (name, p), g in zip(names.items(), torch.autograd.grad(loss, list(names.values())), strict=True):
            squares[name] += g**2 / 4
            moved[name] += float((g * p.detach()).abs().sum() / 4)
    norm = torch.cat([s.flatten() for s in squares.values()]).norm()
    assert found.norm == pytest.approx(float(norm), rel=1e-4)
    with torch.no_grad():
        for name, p in names.items():
            p.copy_(squares[name] / norm)
    for name, expected in checkpoint_tensors(model).items():
        if name in found.fisher:
            assert torch.allclose(found.fisher[name], expected, rtol=1e-3, atol=1e-7), name
    assert {name for name in checkpoint_tensors(model) if "lm_head" not in name} <= found.fisher.keys()
    layers = [sum(v for n, v in moved.items() if locate(n).layer == layer) for layer in range(2)]
    alphas = torch.tensor(layers) / torch.tensor(layers).norm()
    for name, alpha in found.sensitivity.items():
        layer = locate(name).layer
        expected = alphas.mean() if layer is None else alphas[layer]
        assert float(alpha) == pytest.approx(float(expected), rel=1e-4), name
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("kind", ["llama", "gpt2", "phi3"])
def test_output_grams_are_the_second_moments_of_the_gradients_at_the_outputs(kind: str) -> None:
    model = make(kind)
    found = collected(model)
    head = model.get_output_embeddings()
    layers = [n for n, m in model.named_modules() if type(m).__name__ in ("Linear", "Conv1D") and m is not head]
    assert set(found.output_shares) == {f"{name}.weight" for name in layers}
    expected: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    for name in layers:
        model.get_submodule(name).register_forward_hook(lambda _, args, out, name=name: outputs.update({name: out}))
    for loss in losses(model):
        for name, h in zip(layers, torch.autograd.grad(loss, [outputs[n] for n in layers]), strict=True):
            rows = h.flatten(0, -2).double()
            expected[name] = expected.get(name, 0) + rows.T @ rows / 4
    for name in layers:
        gram = found.output_grams[found.output_shares[f"{name}.weight"]].double()
        assert torch.allclose(gram, expected[name], rtol=1e-4, atol=1e-6 * float(expected[name].abs().max()))


@pytest.mark.parametrize("kind", ["mixtral", "gpt_oss"])
def test_experts_have_output_grams_of_their_own_outputs(kind: str) -> None:
    """The gradient of a bias that is added to an output is the sum of the gradients at it: of one token, itself."""
    model = make(kind, **SETTINGS | {"num_experts_per_tok": 1})
    ids = PROMPTS[:1, :1]
    weights = checkpoint_parts(model, model.state_dict())
    found = collect_gradients(
        model, lambda m: [m(input_ids=ids).logits[0, 0, 5]], weights=weights, outputs=True
    ).output_grams
    if kind == "gpt_oss":
        bias = model.model.layers[1].mlp.experts.gate_up_proj_bias
        (gradient,) = torch.autograd.grad(model(input_ids=ids).logits[0, 0, 5], bias)
        gram = found["model.layers.1.mlp.experts.gate_up_proj"]
        assert torch.allclose(gram, gradient[:, :, None] * gradient[:, None, :], rtol=1e-3, atol=1e-9)
        return
    experts = model.model.layers[1].mlp.experts
    (gradient,) = torch.autograd.grad(model(input_ids=ids).logits[0, 0, 5], experts.gate_up_proj)  # h xᵀ of one token
    for e in range(3):
        for half, name in enumerate(("w1", "w3")):
            key = f"model.layers.1.block_sparse_moe.experts.{e}.{name}.weight"
            products = gradient[e].view(2, 24, 16)[half]
            if not products.any():
                assert key not in found
                continue
            gram = found[key]
            outer = products @ products.T  # |x|² h hᵀ
            ratio = gram / outer
            assert gram.shape == (24, 24)
            assert torch.allclose(gram / gram.trace(), outer / outer.trace(), atol=1e-5), ratio


def test_without_sequences_or_slope_it_is_said() -> None:
    model = nn.Linear(2, 1)
    weights = checkpoint_parts(model, model.state_dict())
    with pytest.raises(SpaceError, match="at least one sequence"):
        collect_gradients(model, lambda _: [], weights=weights)
    with pytest.raises(SpaceError, match="not all 0"):
        collect_gradients(model, lambda m: [m(torch.zeros(1, 2)).sum() * 0], weights=weights)
