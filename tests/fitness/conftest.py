"""A tiny language model with its tokenizer, and task files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from fitness.engine.model.tokenizer import Tokenizer, load_tokenizer
from tests.conftest import Family


@pytest.fixture(scope="session")
def model(family: Family) -> torch.nn.Module:
    """A tiny Llama with sharp predictions: one whose most likely tokens do not nearly tie."""
    model = LlamaForCausalLM.from_pretrained(family.base).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8.0)
    return model


@pytest.fixture(scope="session")
def tokenizer(family: Family) -> Tokenizer:
    return load_tokenizer(family.base)


def write_jsonl(path: Path, lines: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def arithmetic(n: int) -> list[dict[str, Any]]:
    """Return multiple-choice lines, `a + b =` with three choices of one to four characters."""
    return [
        {
            "question": f"question {i}: {i} + {7 * i % 13} =",
            "choices": [str(i + 7 * i % 13), str(i * 31 % 17), f"{i}00"],
            "gold": i % 3,
        }
        for i in range(n)
    ]


def completions(n: int) -> list[dict[str, Any]]:
    return [{"prompt": f"word {i * i} is ", "answer": f"{i}"} for i in range(n)]


def texts(n: int) -> list[dict[str, Any]]:
    return [{"text": f"text number {i} " * (1 + i)} for i in range(n)]
