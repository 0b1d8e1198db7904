"""A matrix of right answers and their signals: random merges of a campaign's space on its search items.

command    python -m experiments.reduction.signals_matrix experiments/reduction/quickstart_signals.yaml \
                   --models 101 --out experiments/reduction/quickstart_signals.parquet
cost       README.md; rows are kept in --out with `.responses` at the end, so the same command goes on where it was
stopped
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

from evomerge.api.search import read_campaign
from evomerge.assembly import build_parts, build_pool, settled
from evomerge.responses import collect_responses, kept_rows, respondents
from experiments.printing import guarded


def main() -> None:
    """Collect the rows that are missing, and write all of them as one file."""
    from datasets import Dataset

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaign", type=Path)
    parser.add_argument("--models", type=int, default=101)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    directory = arguments.out.with_suffix(".responses")
    directory.mkdir(parents=True, exist_ok=True)
    parts = build_parts(settled(read_campaign(arguments.campaign), {}))
    items = parts.fitness.splits.items["search"]
    with contextlib.closing(build_pool(parts, directory)) as pool:
        collect_responses(
            respondents(parts.space, arguments.models, parts.config.seed),
            pool,
            directory,
            items=items,
            content=parts.fitness.content_digest(items),
            watch=lambda done, total: print(f"{done} of {total}", file=sys.stderr, flush=True),
        )
    rows = kept_rows(directory).values()
    cells = [(r.model, item, value) for r in rows for item, value in zip(items, r.scores.values.tolist(), strict=True)]
    table = {name: [cell[k] for cell in cells] for k, name in enumerate(("model", "item", "score"))}
    Dataset.from_dict(table).to_parquet(str(arguments.out))


if __name__ == "__main__":
    guarded(main)
