"""Train the quickstart's base model and its three experts, once; finished models are kept.

    python -m experiments.quickstart.train [--out experiments/quickstart/models]

About 1.3 million parameters each; about a minute in all on two idle cores (an estimate from its parts).
"""

import argparse
import functools
from collections.abc import Mapping
from pathlib import Path

import torch

from experiments.checkpoints import is_finished, save_checkpoint
from experiments.finetune import Schedule, finetune, train_expert
from experiments.quickstart.architecture import make_model, make_tokenizer
from experiments.quickstart.tasks import INSTRUCTIONS, Instruction, draw_corpus, draw_lesson

MODELS_DIRECTORY = Path(__file__).parent / "models"
BASE_SCHEDULE = Schedule(steps=250, batch_size=64, learning_rate=2e-3, seed=1)
EXPERT_SCHEDULES = {
    name: Schedule(steps=80, batch_size=64, learning_rate=5e-4, seed=seed)
    for seed, name in enumerate(INSTRUCTIONS, start=5)
}
REPLAY = 0.15  # share of the base's corpus in an expert's lessons, as practitioners do against forgetting


def train_base(
    directory: Path,
    instructions: Mapping[str, Instruction] = INSTRUCTIONS,
    *,
    schedule: Schedule = BASE_SCHEDULE,
    seed: int = 0,
) -> None:
    """Train the base on the two-convention corpus and save it, unless it is there already; `seed` draws its weights."""
    if is_finished(directory):
        return
    torch.manual_seed(seed)
    tokenizer = make_tokenizer(instructions)
    model = make_model(tokenizer)
    corpus = functools.partial(draw_corpus, instructions=instructions)
    finetune(model, tokenizer, corpus, schedule, label="base")
    save_checkpoint(model, tokenizer, directory)


def train_all(directory: Path) -> None:
    """Train the base and every expert that `directory` lacks."""
    base = directory / "base"
    train_base(base)
    for name, schedule in EXPERT_SCHEDULES.items():
        lessons = functools.partial(draw_lesson, instruction=name, replay=REPLAY)
        train_expert(base, directory / name, lessons, schedule)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description="Train the quickstart's base model and its three experts.")
    parser.add_argument("--out", type=Path, default=MODELS_DIRECTORY, help="directory of the models")
    train_all(parser.parse_args().out)


if __name__ == "__main__":
    main()
