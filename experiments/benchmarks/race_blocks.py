"""What it costs to look at a candidate while it answers: processor seconds of its items at once and in blocks.

usage: python -m experiments.benchmarks.race_blocks [--items N] [--blocks K ...] [--json]

The model is SmolLM2-135M-Instruct itself, the items are the first of the search items of experiments/smollm, whose
answers are a few generated tokens; one thread. The doubling blocks end after an eighth, a quarter and half of the
items, as those of a campaign's races.

Cost: two minutes, after `python -m experiments.smollm` has made the models.
Expected: experiments/reduction/README.md
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from evomerge.assembly.live_models import build_resident
from evomerge.assembly.parts import build_parts
from evomerge.config import load_campaign, resolved
from fitness.scores import Budget

CAMPAIGN = Path(__file__).parents[1] / "smollm" / "campaign_cma_es.yaml"


def main() -> None:
    """Measure each way to cut the items into blocks, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=180)
    parser.add_argument("--blocks", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    n = options.items
    cuts = {f"{k} equal": [-(-n * (i + 1) // k) for i in range(k)] for k in options.blocks}
    cuts["doubling"] = [-(-n // 8), -(-n // 4), -(-n // 2), n]
    seconds = measured(n, list(cuts.values()))
    if options.json:
        print(json.dumps({"items": n, "seconds": dict(zip(cuts, seconds, strict=True))}, indent=2))
        return
    for name, taken in zip(cuts, seconds, strict=True):
        print(f"{name:12}{taken:8.2f} s")


def measured(n_items: int, cuts: Sequence[list[int]]) -> list[float]:
    """Return the processor seconds of n items in the blocks that end there; each way is run once before."""
    config = resolved(load_campaign(CAMPAIGN), CAMPAIGN.parent)
    config = config.model_copy(update={"engine": config.engine.model_copy(update={"dtype": "float32"})})
    parts = build_parts(config)
    resident = build_resident(config, parts.parents)
    resident.become(next(landmark.recipe for landmark in parts.space.landmarks() if landmark.name == "base"))
    budget = Budget("search", parts.fitness.splits.items["search"][:n_items])
    found = []
    for ends in cuts:
        for _ in range(2):
            began = time.process_time()
            list(parts.fitness.evaluate_in_blocks(resident.model, budget, ends=ends))
            taken = time.process_time() - began
        found.append(taken)
    return found


if __name__ == "__main__":
    main()
