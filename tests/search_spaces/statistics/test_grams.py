from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.architecture.parts import checkpoint_parts
from search_spaces.errors import SpaceError
from search_spaces.statistics.grams import Grams, collect_grams
from tests.search_spaces.statistics.models import gram_of, inputs_of, make, reader

PROMPTS = torch.randint(3, 50, (6, 7), generator=torch.Generator().manual_seed(1))
COUNTS = torch.randint(0, 4, (6, 7), generator=torch.Generator().manual_seed(2))
ONCE = torch.ones_like(COUNTS)


def collected(model: nn.Module, counts: Tensor = COUNTS, **options: int) -> Grams:
    weights = checkpoint_parts(model, model.state_dict())
    return collect_grams(model, reader(PROMPTS, counts), weights=weights, **options)


def close(found: Tensor, expected: Tensor) -> None:
    scale = expected.diagonal(dim1=-2, dim2=-1).sqrt()
    bound = 2e-6 * scale[..., :, None] * scale[..., None, :] + 1e-12
    assert bool(((found.double() - expected).abs() <= bound).all())


@pytest.mark.parametrize(
    ("kind", "settings", "shared"),
    [
        ("llama", {}, [["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], ["mlp.gate_proj", "mlp.up_proj"]]),
        ("phi3", {}, []),
        ("gpt_neox", {}, []),
        ("gpt2", {}, []),
        ("phi", {}, [["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.fc1"]]),
    ],
)
def test_dense_models_have_the_second_moments_of_each_layers_stacked_inputs(kind, settings, shared):
    model = make(kind, **settings)
    head = model.get_output_embeddings()
    names = [n for n, m in model.named_modules() if type(m).__name__ in ("Linear", "Conv1D") and m is not head]
    inputs = inputs_of(model, lambda: reader(PROMPTS, COUNTS)(model, lambda _: None), names)
    grams = collected(model)
    assert set(grams.shares) == {f"{name}.weight" for name in names}
    for name in names:
        close(grams.tensors[grams.shares[f"{name}.weight"]], gram_of(inputs[name], COUNTS))
    together = sum(len(group) - 1 for group in shared) * 2
    assert len(grams.tensors) == len(names) - together
    for group in shared:
        assert len({grams.shares[n] for n in grams.shares if any(part in n and ".1." in n for part in group)}) == 1
    assert grams.input_first == (frozenset(grams.shares) if kind == "gpt2" else frozenset())


@pytest.mark.parametrize("kind", ["mixtral", "qwen3_moe", "gpt_oss"])
@pytest.mark.parametrize("counts", [COUNTS, ONCE])
def test_fused_experts_have_the_second_moments_of_their_own_tokens(kind, counts):
    given = {"num_local_experts": 5, "num_experts": 5, "num_experts_per_tok": 2, "head_dim": 4}
    model = make(kind, **given, moe_intermediate_size=20, layer_types=["full_attention"] * 2)
    blocks = [n for n, _ in model.named_modules() if n.endswith("mlp.experts")]
    expected: dict[str, Tensor] = {}
    inner: dict[str, Tensor] = {}

    def write_down(name: str):
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            hidden, chosen = args[0].reshape(-1, 16).double(), args[1]
            for token, experts in enumerate(chosen.tolist()):
                for e in experts:
                    x = hidden[token]
                    first = module.gate_up_proj[e].double()
                    mixed = x @ first if kind == "gpt_oss" else first @ x
                    if kind == "gpt_oss":
                        y = module._apply_gate(mixed[None] + module.gate_up_proj_bias[e].double())[0]
                    else:
                        gate, up = mixed.chunk(2)
                        y = functional.silu(gate) * up
                    c = current[token].double()
                    expected[name][e] += c * x.outer(x)
                    inner[name][e] += c * y.outer(y)

        return hook

    current = torch.zeros(0)
    handles = [model.get_submodule(n).register_forward_pre_hook(write_down(n)) for n in blocks]
    for n in blocks:
        module = model.get_submodule(n)
        expected[n] = torch.zeros(5, 16, 16, dtype=torch.float64)
        width = module.down_proj.shape[1 if kind == "gpt_oss" else 2]
        inner[n] = torch.zeros(5, width, width, dtype=torch.float64)

    def note(given: Tensor) -> None:
        nonlocal current
        current = given

    with torch.no_grad():
        reader(PROMPTS, counts)(model, note)
    for handle in handles:
        handle.remove()
    implementation = model.get_experts_implementation()
    grams = collected(model, counts)
    assert model.get_experts_implementation() == implementation
    for n in blocks:
        for e in range(5):
            first, second = experts_names(kind, n, e)
            found = grams.tensors[grams.shares[first]], grams.tensors[grams.shares[second]]
            if kind == "gpt_oss":
                assert {first, second} <= grams.input_first
                found = found[0][e], found[1][e]
            close(found[0], expected[n][e] / counts.sum())
            close(found[1], inner[n][e] / counts.sum())


def experts_names(kind: str, block: str, e: int) -> tuple[str, str]:
    if kind == "gpt_oss":
        return f"{block}.gate_up_proj", f"{block}.down_proj"
    if kind == "mixtral":
        path = block.replace(".mlp.", ".block_sparse_moe.")
        return f"{path}.{e}.w3.weight", f"{path}.{e}.w2.weight"
    return f"{block}.{e}.up_proj.weight", f"{block}.{e}.down_proj.weight"


class _Block(nn.Module):
    """Each token goes to one of four experts, of which the last never has any."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(6, 3)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 6)) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        flat, out = x.flatten(0, 1), torch.zeros_like(x.flatten(0, 1))
        chosen = self.gate(flat).argmax(dim=1)
        for e, expert in enumerate(self.experts):
            places = (chosen == e).nonzero()[:, 0].flip(0)
            out[places] = expert(flat[places])
        return out.view_as(x)


def test_experts_that_are_modules_have_the_second_moments_of_their_own_tokens_and_zeros_without_any():
    torch.manual_seed(0)
    block, x = _Block(), torch.randn(3, 8, 6)
    counts = torch.randint(0, 3, (3, 8))
    weights = checkpoint_parts(block, block.state_dict())

    def read(model, note):
        note(counts.flatten())
        model(x)

    grams = collect_grams(block, read, weights=weights)
    flat = x.flatten(0, 1)
    chosen = block.gate(flat).argmax(dim=1)
    for e in range(4):
        mine = (chosen == e) * counts.flatten()
        close(
            grams.tensors[grams.shares[f"experts.{e}.0.weight"]],
            torch.einsum("t,ti,tj->ij", mine.double(), flat.double(), flat.double()) / counts.sum(),
        )
        inner = block.experts[e][:2](flat).detach().double()
        close(
            grams.tensors[grams.shares[f"experts.{e}.2.weight"]],
            torch.einsum("t,ti,tj->ij", mine.double(), inner, inner) / counts.sum(),
        )
    assert not grams.tensors[grams.shares["experts.3.0.weight"]].any()


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(4, 6, 3, padding=1),
        nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2),
        nn.Conv2d(4, 6, 3, padding="same", padding_mode="circular"),
        nn.Conv2d(4, 4, (3, 5), padding="same", groups=4),
    ],
)
def test_convolutions_have_the_second_moments_of_what_the_least_squares_sees(convolution):
    """The gram predicts |conv(x)|^2 for any weights: sum of w^T G w over outputs, per place and image."""
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), convolution)
    images, times = torch.randn(3, 3, 7, 8), torch.tensor([1, 0, 3])

    def read(model, note):
        note(times)
        model(images)

    gram = collect_grams(net, read, weights=checkpoint_parts(net, net.state_dict())).tensors["2.weight"].double()
    other = torch.randn_like(convolution.weight)
    with torch.no_grad():
        convolution.weight.copy_(other)
        convolution.bias.zero_()
        out = net(images.repeat_interleave(times, dim=0)).double()
    flat = other.flatten(1).double()
    grouped = flat.view(convolution.groups, -1, flat.shape[1])
    stacked = gram if convolution.groups > 1 else gram[None]
    found = torch.einsum("goi,gij,goj->go", grouped, stacked, grouped).flatten()
    assert torch.allclose(found, out.square().mean(dim=(0, 2, 3)), rtol=1e-5)


def test_a_convolution_along_the_tokens_counts_each_output_place_as_its_token():
    net = nn.Conv1d(4, 4, 3, padding=2, groups=4, bias=False)
    x, counts = torch.randn(2, 4, 5), torch.tensor([[1, 2, 0, 1, 1], [3, 1, 1, 0, 2]])

    def read(model, note):
        note(counts.flatten())
        model(x)

    gram = collect_grams(net, read, weights=checkpoint_parts(net, net.state_dict())).tensors["weight"].double()
    with torch.no_grad():
        out = net(x)[:, :, :5].double()
    found = torch.einsum("gi,gij,gj->g", net.weight[:, 0].double(), gram, net.weight[:, 0].double())
    expected = (out.square() * counts[:, None]).sum(dim=(0, 2)) / counts.sum()
    assert torch.allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "mixtral", "gpt_oss"])
def test_passes_over_groups_of_layers_give_the_bits_of_one_pass(kind):
    model = make(kind, num_local_experts=5, num_experts_per_tok=2, head_dim=4, layer_types=["full_attention"] * 2)
    whole = collected(model)
    passes = 0

    def counting(model, note):
        nonlocal passes
        passes += 1
        reader(PROMPTS, COUNTS)(model, note)

    parts = collect_grams(model, counting, weights=checkpoint_parts(model, model.state_dict()), limit_bytes=6000)
    assert passes > 2
    assert (parts.shares, parts.input_first) == (whole.shares, whole.input_first)
    assert parts.tensors.keys() == whole.tensors.keys()
    assert all(parts.tensors[name].equal(whole.tensors[name]) for name in whole.tensors)


def test_long_sums_lose_nothing_to_rounding():
    """A sum in float32 alone is wrong by 300 times as much."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(1_000_000, 3, generator=generator) + torch.tensor([100.0, 1.0, 0.01])
    model = nn.Linear(3, 1)

    def read(model, note):
        for part in rows.split(2000):
            note(torch.ones(len(part)))
            model(part)

    found = collect_grams(model, read, weights=checkpoint_parts(model, model.state_dict())).tensors["weight"]
    exact = rows.double().T @ rows.double() / len(rows)
    plain = torch.zeros(3, 3)
    for part in rows.split(1000):
        plain += part.T @ part
    scale = exact.diagonal().sqrt().outer(exact.diagonal().sqrt())
    error, naive = (((g.double() - exact) / scale).abs().max() for g in (found, plain / len(rows)))
    assert error < 1e-6
    assert naive > 3 * error


def test_what_cannot_be_counted_or_is_not_finite_is_said():
    model = nn.Sequential(nn.Linear(3, 3))
    weights = checkpoint_parts(model, model.state_dict())

    def uncountable(model, note):
        note(torch.tensor([1, 2]))
        model(torch.ones(3, 3))

    with pytest.raises(SpaceError, match="each of 2 tokens, found 3"):
        collect_grams(model, uncountable, weights=weights)

    def infinite(model, note):
        note(torch.ones(3))
        model(torch.full((3, 3), torch.inf))

    with pytest.raises(SpaceError, match=r"0\.weight: expected finite inputs"):
        collect_grams(model, infinite, weights=weights)
    with pytest.raises(SpaceError, match="call `note`"):
        collect_grams(model, lambda model, _: model(torch.ones(3, 3)), weights=weights)


def test_nothing_is_changed_about_the_model_and_inference_tensors_are_read_as_others():
    model = make("llama")
    weights = checkpoint_parts(model, model.state_dict())
    plain = collected(model)

    @torch.inference_mode()
    def read(model, note):
        reader(PROMPTS, COUNTS)(model, note)

    other = collect_grams(model, read, weights=weights)
    assert other.shares == plain.shares
    assert all(other.tensors[name].equal(plain.tensors[name]) for name in plain.tensors)
    assert not any(module._forward_pre_hooks for module in model.modules())
