from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fitness.engine.language_model import Distributions
from fitness.errors import FitnessError
from fitness.teaching.divergences import divergences
from fitness.teaching.teachers import Taught, keep

N_TOKENS = 7


def logits(n: int, seed: int, steep: float = 2.0) -> Tensor:
    return torch.randn(n, N_TOKENS, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * steep


def exact(teacher: Tensor) -> Taught:
    """What a teacher of these logits says, not rounded to float16."""
    return Taught(teacher.log_softmax(-1))


def js(z: Tensor, teacher: Tensor) -> Tensor:
    p, q = z.softmax(-1), teacher.softmax(-1)
    m = (p + q) / 2
    return ((p * (p / m).log()).sum(-1) + (q * (q / m).log()).sum(-1)) / 2


def kl(temperature: float) -> Callable[[Tensor, Tensor], Tensor]:
    def of(z: Tensor, teacher: Tensor) -> Tensor:
        p, q = (z / temperature).softmax(-1), teacher.softmax(-1)
        return temperature**2 * (q * (q / p).log()).sum(-1)

    return of


def entropy(z: Tensor, _: Tensor) -> Tensor:
    return -(z.softmax(-1) * z.log_softmax(-1)).sum(-1)


@pytest.mark.parametrize(
    ("kind", "temperature", "formula"),
    [("js", 1.0, js), ("kl", 1.0, kl(1.0)), ("kl", 2.0, kl(2.0)), ("entropy", 1.0, entropy)],
)
@given(seed=st.integers(0, 10**6), sizes=st.lists(st.integers(1, 90), min_size=1, max_size=3))
def test_values_and_slopes_are_those_of_the_formulas(kind, temperature, formula, seed, sizes):
    n = sum(sizes)
    z, teacher, weights = logits(n, seed), logits(n, seed + 1), torch.linspace(-1.0, 2.0, n, dtype=torch.float64)
    ours, theirs = (z.clone().requires_grad_() for _ in range(2))
    found = divergences(ours, [exact(part) for part in teacher.split(sizes)], kind, temperature)
    expected = formula(theirs, teacher)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-8, atol=1e-11)


def lumped(z: Tensor, tokens: Tensor) -> Tensor:
    """Log-probabilities of some tokens, and of all others together."""
    p = z.softmax(-1)
    own = p.gather(-1, tokens)
    return torch.cat([own, 1.0 - own.sum(-1, keepdim=True)], -1).log()


@pytest.mark.parametrize(("kind", "formula"), [("js", js), ("kl", kl(1.0))])
def test_of_the_likeliest_tokens_the_others_count_as_one(kind, formula):
    z, teacher = logits(5, 0), logits(5, 1)
    taught = keep(Distributions(teacher.log_softmax(-1).float().numpy()), 1.0, 3)
    assert taught.log_probabilities.shape == (5, 4)
    tokens = teacher.topk(3).indices
    precise = Taught(lumped(teacher, tokens), taught.likeliest)
    ours, theirs = (z.clone().requires_grad_() for _ in range(2))
    found, expected = divergences(ours, [precise], kind, 1.0), formula(lumped(theirs, tokens), lumped(teacher, tokens))
    found.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)
    assert (found <= formula(z, teacher) + 1e-12).all()


def test_a_teacher_is_kept_in_half_precision_and_at_its_temperature():
    teacher = logits(4, 0)
    said = Distributions(teacher.log_softmax(-1).float().numpy())
    taught = keep(said, 2.0, None)
    assert taught.log_probabilities.dtype is torch.float16
    assert taught.n_bytes == 4 * N_TOKENS * 2
    assert keep(said, 1.0, 3).n_bytes == 4 * (4 * 2 + 3 * 8)
    rows, _ = taught.rows(0, 4, torch.empty(0, dtype=torch.float64))
    torch.testing.assert_close(rows, (teacher / 2.0).log_softmax(-1), rtol=0, atol=5e-3)
    own = divergences(teacher.float(), [keep(said, 1.0, None)], "js", 1.0)
    assert float(own.max()) < 1e-5


@pytest.mark.parametrize("kind", ["js", "kl", "entropy"])
def test_whoever_rules_a_token_out_is_measured_all_the_same(kind):
    sure = torch.tensor([[200.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    other = sure.flip(-1)
    for likeliest in (None, 2):
        taught = keep(Distributions(other.log_softmax(-1).numpy()), 1.0, likeliest)
        z = sure.clone().requires_grad_()
        value = divergences(z, [taught], kind, 1.0)
        value.sum().backward()
        assert value.isfinite().all()
        assert z.grad.isfinite().all()
        if kind == "js":
            assert float(value.detach()) == pytest.approx(math.log(2.0), abs=1e-4)


def test_a_teacher_of_nan_is_refused():
    with pytest.raises(FitnessError, match="expert: expected finite probabilities, found others"):
        keep(Distributions(torch.full((1, 3), torch.nan).numpy()), 1.0, None)
