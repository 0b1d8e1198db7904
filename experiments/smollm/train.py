"""Fine-tune three experts of SmolLM2-135M-Instruct on the CPU, once; finished models are kept.

python -m experiments.smollm.train --base wheel|hub [--out experiments/smollm/models]
"""

import argparse
from pathlib import Path

from experiments.finetune import Schedule, train_expert
from experiments.smollm.pretrained import Source, fetch_base
from experiments.smollm.tasks import draw_from

MODELS_DIRECTORY = Path(__file__).parent / "models"
SCHEDULES = {
    "arithmetic": Schedule(steps=160, batch_size=16, learning_rate=1e-4, seed=1),
    "letters": Schedule(steps=160, batch_size=16, learning_rate=1e-4, seed=2),
    "continents": Schedule(steps=160, batch_size=16, learning_rate=1e-4, seed=3),
}


def train_all(source: Source, directory: Path) -> None:
    """Fetch the base and train every missing expert into subdirectories of `directory`."""
    base = directory / "base"
    fetch_base(source, base)
    for name, schedule in SCHEDULES.items():
        # A fifth of the weights, tied to the head: frozen they save time, and every parent shares them.
        train_expert(base, directory / name, draw_from(name, held_out=False), schedule, freeze_embeddings=True)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description="Fine-tune three experts of SmolLM2-135M-Instruct.")
    parser.add_argument("--base", choices=("wheel", "hub"), required=True, help="where the base model comes from")
    parser.add_argument("--out", type=Path, default=MODELS_DIRECTORY, help="directory of the models")
    arguments = parser.parse_args()
    train_all(arguments.base, arguments.out)


if __name__ == "__main__":
    main()
