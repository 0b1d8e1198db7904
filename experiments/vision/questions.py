"""Two questions about images of digits, as Python tasks: what is it called, and is it even?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.vision.architecture import DIGITS, MOST, PARITY

N_TRAIN = 900  # of 1,797 images; the campaign's items are the others
ITEMS = tuple(str(number) for number in range(N_TRAIN, 1797))


@cache
def images() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return scikit-learn's digits in a fixed random order: (1797, 8, 8, 3) pixels, (1797,) which digit."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    grey = np.round(pixels[order].reshape(-1, 8, 8, 1) * (255 / MOST)).astype(np.uint8)
    return np.repeat(grey, 3, axis=3), labels[order]


def answer(question: str, digit: int) -> str:
    """Return the right word."""
    return DIGITS[digit] if question == "name" else PARITY[digit % 2]


def asked(processor: Any, question: str, numbers: Sequence[int]) -> Any:
    """Return the model's inputs: each image, and the question after it."""
    pixels, _ = images()
    prompts = [f"<image> {question}"] * len(numbers)
    return processor(images=[pixels[number] for number in numbers], text=prompts, return_tensors="pt")


def names(model: Any, tokenizer: Any, processor: Any, items: Sequence[str] = ITEMS) -> dict[str, float]:
    """Return per image whether the likeliest next word is the digit's name."""
    return _right("name", model, tokenizer, _inputs(processor, "name", tuple(items)), items)


def parity(model: Any, tokenizer: Any, processor: Any, items: Sequence[str] = ITEMS) -> dict[str, float]:
    """Return per image whether the likeliest next word says if the digit is even."""
    return _right("parity", model, tokenizer, _inputs(processor, "parity", tuple(items)), items)


names.item_ids = parity.item_ids = ITEMS  # type: ignore[attr-defined]


@torch.inference_mode()
def _right(question: str, model: Any, tokenizer: Any, inputs: Any, items: Sequence[str]) -> dict[str, float]:
    said = model(**inputs, logits_to_keep=1).logits[:, -1].argmax(-1).tolist()
    found = zip(items, tokenizer.convert_ids_to_tokens(said), strict=True)
    return {item: float(word == answer(question, images()[1][int(item)])) for item, word in found}


@cache
def _inputs(processor: Any, question: str, items: tuple[str, ...]) -> Any:
    """Every candidate sees the same images."""
    return asked(processor, question, [int(item) for item in items])
