"""The main job on SmolLM2-135M-Instruct: three experts, then NSGA-II, CMA-ES and M2N2.

    python -m experiments.smollm --base wheel|hub

About an hour on two cores; what is done is not done again, and a call after an interruption goes on.
"""

import argparse
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from experiments.campaigns import search_verify_export
from experiments.printing import guarded, make_console
from experiments.smollm.train import MODELS_DIRECTORY, train_all

HERE = Path(__file__).parent


def main() -> None:
    """Train what is missing, then run the campaigns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", choices=("wheel", "hub"), default="wheel", help="where the base model comes from")
    arguments = parser.parse_args()
    disable_progress_bar()
    console = make_console()
    train_all(arguments.base, MODELS_DIRECTORY)
    for kind in ("informed", "nsga2", "cma_es", "m2n2"):
        search_verify_export(HERE / f"campaign_{kind}.yaml", Path("runs") / f"smollm-{kind}", console)


if __name__ == "__main__":
    guarded(main)
