"""The main job in minutes: train a tiny base and three experts, search their merges, verify, export, ask the winner.

    python -m experiments.quickstart [--run-dir runs/quickstart]

What is done is not done again: a second call shows the result, and a call after an interruption goes on.
"""

import argparse
import time
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from experiments.campaigns import search_verify_export
from experiments.printing import duration, guarded, make_console
from experiments.quickstart.show import show
from experiments.quickstart.train import MODELS_DIRECTORY, train_all

CAMPAIGN = Path(__file__).parent / "campaign.yaml"


def main() -> None:
    """Run the quickstart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run-dir", type=Path, default=Path("runs/quickstart"))
    run_dir = parser.parse_args().run_dir
    disable_progress_bar()
    console = make_console()
    began = time.monotonic()
    console.print("[bold]1. A base model and three experts of it[/bold] (trained once, then kept)")
    train_all(MODELS_DIRECTORY)
    console.print("[bold]2. Search, verify on held-out items, export the winner[/bold]")
    winner = search_verify_export(CAMPAIGN, run_dir, console)
    console.print(f"[bold]3. The winner answers[/bold], loaded from {winner} with plain transformers")
    show(winner)
    console.print(f"\ndone in {duration(time.monotonic() - began)}; open {run_dir / 'report.html'}")


if __name__ == "__main__":
    guarded(main)
