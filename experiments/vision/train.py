"""Train the base, which answers both questions a little, and an expert for each, once; finished models are kept.

    python -m experiments.vision.train

Some 0.1 million parameters each; about a minute in all on one core.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.checkpoints import is_finished, save_checkpoint
from experiments.vision.architecture import make_model, make_processor
from experiments.vision.questions import N_TRAIN, answer, asked, images

MODELS_DIRECTORY = Path(__file__).parent / "models"
QUESTIONS = ("name", "parity")
BASE_STEPS, EXPERT_STEPS = 120, 250
_BATCH = 48


def learn(
    model: Any, processor: Any, questions: Sequence[str], *, steps: int, rate: float, seed: int, batch: int = _BATCH
) -> None:
    """Train a model in place on some questions, on images before `N_TRAIN`."""
    labels = images()[1]
    inputs = {question: asked(processor, question, range(N_TRAIN)) for question in questions}
    words = processor.tokenizer.convert_tokens_to_ids
    targets = {q: torch.tensor([words(answer(q, int(label))) for label in labels[:N_TRAIN]]) for q in questions}
    random = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    for step in range(steps):
        question = questions[step % len(questions)]
        chosen = torch.from_numpy(random.choice(N_TRAIN, batch, replace=False))
        given = {key: value[chosen] for key, value in inputs[question].items()}
        logits = model(**given, logits_to_keep=1).logits[:, -1]
        loss = torch.nn.functional.cross_entropy(logits, targets[question][chosen])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()


def train_all(directory: Path = MODELS_DIRECTORY, *, steps: tuple[int, int] = (BASE_STEPS, EXPERT_STEPS)) -> None:
    """Train the base and each expert that a directory lacks.

    Args:
        directory: of the models.
        steps: of the base, and of each expert.
    """
    from transformers import LlavaForConditionalGeneration

    processor = make_processor()
    if not is_finished(directory / "base"):
        base = make_model(processor)
        learn(base, processor, QUESTIONS, steps=steps[0], rate=2e-3, seed=1)
        _save(base, processor, directory / "base")
    for seed, question in enumerate(QUESTIONS, start=2):
        if not is_finished(directory / question):
            expert = LlavaForConditionalGeneration.from_pretrained(
                directory / "base", trust_remote_code=False, attn_implementation=None
            )
            learn(expert, processor, (question,), steps=steps[1], rate=1e-3, seed=seed)
            _save(expert, processor, directory / question)


def _save(model: Any, processor: Any, directory: Path) -> None:
    save_checkpoint(model.eval(), processor, directory)


if __name__ == "__main__":
    train_all()
