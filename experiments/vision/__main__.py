"""Two experts that read images, and a search for the merge that does what both can: train, search, verify, export, ask.

    python -m experiments.vision [--run-dir runs/vision]

What is done is not done again.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import transformers

from experiments.campaigns import search_verify_export
from experiments.printing import duration, guarded, make_console
from experiments.vision.questions import ITEMS, names, parity
from experiments.vision.train import MODELS_DIRECTORY, train_all

CAMPAIGN = Path(__file__).parent / "campaign.yaml"


def main() -> None:
    """Run the experiment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run-dir", type=Path, default=Path("runs/vision"))
    run_dir = parser.parse_args().run_dir
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    console, began = make_console(), time.monotonic()
    console.print("[bold]1. A base and two experts that look at digits[/bold] (trained once, then kept)")
    train_all(MODELS_DIRECTORY)
    console.print("[bold]2. Search, verify on held-out images, export the winner[/bold]")
    winner = search_verify_export(CAMPAIGN, run_dir, console)
    console.print(f"[bold]3. The winner answers[/bold], loaded from {winner} with plain transformers")
    model = transformers.AutoModelForImageTextToText.from_pretrained(
        winner, trust_remote_code=False, attn_implementation=None
    ).eval()
    processor = transformers.AutoProcessor.from_pretrained(winner, trust_remote_code=False)
    for task in (names, parity):
        right = np.mean(list(task(model, processor.tokenizer, processor, ITEMS).values()))
        console.print(f"{task.__name__}: {right:.3f} of {len(ITEMS)} images")
    console.print(f"\ndone in {duration(time.monotonic() - began)}; open {run_dir / 'report.html'}")


if __name__ == "__main__":
    guarded(main)
