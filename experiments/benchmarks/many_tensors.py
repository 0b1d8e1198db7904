"""Merging a model of very many small tensors: CPU seconds of what every tensor costs, whatever its size.

The parents have the names of Qwen3-30B-A3B, 48 layers of 128 experts, 18,867 tensors, with random weights of small
widths. Asked of TIES: at most 10 CPU seconds to write a merge, or for a first candidate; at most 2 for each later one.
Measured on one thread of a crowded machine (2026-11-30): TIES 8.6 s to write, 9.6 s for the first candidate, 1.7 s for
later ones; linear 3.8, 1.2 and 1.0; DARE-TIES 5.0, 1.8 and 1.6 (the parents' files and names were read by TIES).
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

import evomerge as em
from search_spaces import Parents, ResidentModel, build_module

_WIDTH, _EXPERT, _HEADS, _HEAD = 32, 16, 4, 8


@dataclass(frozen=True)
class ManyRow:
    """One operator, in CPU seconds of this process."""

    operator: str
    n_tensors: int
    export_s: float  # writing the merge, from opening the parents
    first_s: float  # the first candidate of a live model
    later_s: float  # median of those that follow


@contextmanager
def parents_of_many(names: tuple[str, ...], *, n_layers: int = 48, n_experts: int = 128) -> Iterator[Parents]:
    """Open a base and others of it; they go when this ends."""
    with tempfile.TemporaryDirectory() as directory:
        written = {name: _write(Path(directory, name), n, n_layers, n_experts) for n, name in enumerate(names)}
        yield Parents.open({name: em.ParentSource(str(path)) for name, path in written.items()})


def many_row(operator: str, parents: Parents, recipes: Sequence[em.Recipe]) -> ManyRow:
    """Measure an operator: the first recipe is written, and all of them are candidates one after another."""
    with tempfile.TemporaryDirectory() as directory:
        export_s = cpu_seconds_of(lambda: em.merge(recipes[0], Path(directory, "merged")))
    model = ResidentModel(build_module(parents["base"]), parents)
    first_s, *later_s = [cpu_seconds_of(lambda r=r: model.become(r)) for r in recipes]  # type: ignore[misc]
    return ManyRow(operator, len(parents["base"].names), export_s, first_s, statistics.median(later_s))


def cpu_seconds_of(work: Callable[[], object]) -> float:
    """Return the CPU seconds that a call takes of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def many_table(rows: Sequence[ManyRow]) -> str:
    """Return the rows as text."""
    head = f"{'operator':18}{'tensors':>9}{'export':>9}{'first':>9}{'later':>9}   CPU seconds"
    return "\n".join(
        [head] + [f"{r.operator:18}{r.n_tensors:9,}{r.export_s:9.2f}{r.first_s:9.2f}{r.later_s:9.2f}" for r in rows]
    )


def _write(target: Path, model: int, n_layers: int, n_experts: int) -> Path:
    from transformers import Qwen3MoeConfig

    config = Qwen3MoeConfig(
        hidden_size=_WIDTH,
        intermediate_size=2 * _WIDTH,
        moe_intermediate_size=_EXPERT,
        num_attention_heads=_HEADS,
        num_key_value_heads=_HEADS,
        head_dim=_HEAD,
        vocab_size=256,
        num_hidden_layers=n_layers,
        num_experts=n_experts,
        tie_word_embeddings=False,
    )
    target.mkdir()
    (target / "config.json").write_text(json.dumps({**config.to_dict(), "architectures": ["Qwen3MoeForCausalLM"]}))
    shared, own = torch.Generator().manual_seed(0), torch.Generator().manual_seed(model)
    weights = {}
    for name, shape in shapes_of(n_layers, n_experts):
        weights[name] = _drawn(shape, 0.02, shared)
        weights[name] += _drawn(shape, 0.002, own) if model else 0.0
    save_file({n: w.to(torch.bfloat16) for n, w in weights.items()}, target / "model.safetensors", {"format": "pt"})
    return target


def _drawn(shape: tuple[int, ...], deviation: float, generator: torch.Generator) -> Tensor:
    return torch.empty(shape).normal_(0.0, deviation, generator=generator)


def shapes_of(n_layers: int, n_experts: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the tensors of such a model, and their shapes."""
    heads = _HEADS * _HEAD
    yield "model.embed_tokens.weight", (256, _WIDTH)
    yield "model.norm.weight", (_WIDTH,)
    yield "lm_head.weight", (256, _WIDTH)
    for layer in range(n_layers):
        prefix = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"{prefix}{norm}.weight", (_WIDTH,)
        for kind in "qkv":
            yield f"{prefix}self_attn.{kind}_proj.weight", (heads, _WIDTH)
        yield f"{prefix}self_attn.o_proj.weight", (_WIDTH, heads)
        for norm in ("q_norm", "k_norm"):
            yield f"{prefix}self_attn.{norm}.weight", (_HEAD,)
        yield f"{prefix}mlp.gate.weight", (n_experts, _WIDTH)
        for expert in range(n_experts):
            inside = f"{prefix}mlp.experts.{expert}."
            yield f"{inside}gate_proj.weight", (_EXPERT, _WIDTH)
            yield f"{inside}up_proj.weight", (_EXPERT, _WIDTH)
            yield f"{inside}down_proj.weight", (_WIDTH, _EXPERT)
