"""How fast a plan could be at best: its multiply-adds at the rate of matrix products of the model's own shapes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from fitness import Tokenizer
from fitness.engine.language_model import Request, run_for
from fitness.engine.scoring.windows import Prompt, tokenise

_ROWS = 512  # of the measured products
_SECONDS = 2.0  # for measuring all of them


@dataclass(frozen=True)
class TrieWork:
    """What cannot be left out."""

    tokens: int  # nodes of the trie of all requests
    attended: int  # over all nodes, how many tokens lie on the path from the root, the node included
    reads: int  # nodes where logits are read


def trie_work(requests: Sequence[Request], tokenizer: Tokenizer) -> TrieWork:
    """Count, independently of the engine, what log-likelihoods need."""
    children: dict[tuple[int, int], int] = {}
    reads: set[int] = set()
    attended = 0
    for request in dict.fromkeys(requests):
        parts = tokenise(run_for(request), tokenizer)
        for window in [] if isinstance(parts, Prompt) else parts:
            node, path = 0, []
            for depth, token in enumerate(window.inputs, start=1):
                if (node, token) not in children:
                    children[node, token] = len(children) + 1
                    attended += depth
                node = children[node, token]
                path.append(node)
            reads.update(path[place] for place in window.places)
    return TrieWork(len(children), attended, len(reads))


def multiply_adds(model: nn.Module, work: TrieWork) -> float:
    """Return the multiply-adds of linear layers, attention over each node's path, and the output layer where read."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    linear = sum(layer.weight.numel() for layer in _linear_layers(model) if layer is not head)
    config: Any = getattr(model.config, "text_config", None) or model.config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    attention = 2 * config.num_hidden_layers * config.num_attention_heads * head_dim
    return float(work.tokens * linear + work.attended * attention + work.reads * head.weight.numel())


def product_rate(model: nn.Module) -> float:
    """Return multiply-adds per second over all of the model's matrix products, `_ROWS` tokens at a time."""
    counts = Counter(tuple(layer.weight.shape) for layer in _linear_layers(model))
    weight_of = {tuple(layer.weight.shape): layer.weight.detach() for layer in _linear_layers(model)}
    n_operations, seconds = 0.0, 0.0
    for shape, count in counts.items():
        weight = weight_of[shape]
        rows = torch.randn(_ROWS, shape[1], dtype=weight.dtype, device=weight.device)
        n_operations += count * _ROWS * weight.numel()
        seconds += count * _seconds_per_product(rows, weight, _SECONDS / len(counts))
    return n_operations / seconds


def _seconds_per_product(rows: torch.Tensor, weight: torch.Tensor, seconds: float) -> float:
    """Return the fastest of as many products as fit in some seconds."""
    best = float("inf")
    end = time.perf_counter() + seconds
    with torch.inference_mode():
        while time.perf_counter() < end:
            start = time.perf_counter()
            nn.functional.linear(rows, weight)
            if rows.is_cuda:
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - start)
    return best


def _linear_layers(model: nn.Module) -> list[nn.Linear]:
    return [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
