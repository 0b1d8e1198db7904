"""Which label-free screen ranks merges as their accuracy does? The reasons for what `fitness.screening` does.

    command    make quickstart once (trains the experts), then
               evomerge reduce experiments/reduction/quickstart_merges.yaml --models 400 \
                   --out runs/reduction/quickstart.json
               python -m experiments.reduction.screening experiments/reduction/quickstart_merges.yaml \
                   --responses runs/reduction/quickstart.responses [--models 310] [--prompts 64] [--json]
    cost       minutes, after the responses
    expected   see README.md

The responses are merges at random places of the campaign's space and their scores on all search items. Each is compared
with the parents on prompts of search items: at the prompt's end, at eight places all over the prompt, or along a few
tokens that the parent writes after it. A screen is where it looks, and whom it takes for the expert:

    best parent     by accuracy on the task; needs labels, so it stands for what a campaign file may say
    most distinct   the parent that differs most from the other checkpoints on the task's prompts
    surest          the parent with the least entropy on the task's prompts
    nearest         whichever parent the merge is nearest to, prompt by prompt
    all             the mean over parents

Landmarks are left out of the correlations: there are few of them, and they are far from all merges.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

import evomerge as em
from evomerge.assembly import Parts, build_parts
from evomerge.assembly.live_models import build_resident, with_compute_dtype
from experiments.printing import make_console, table
from fitness import Completion, Distributions, NextTokens, NextTokensAlong, RankCorrelation, rank_correlation
from fitness.engine.language_model import Answer, Request
from fitness.screening.experts import most_distinct
from fitness.screening.screening import draw_prompts
from fitness.tasks.divergence import js_divergence

if TYPE_CHECKING:
    from torch import nn

Floats = NDArray[np.float64]
Place = str
PLACES: tuple[Place, ...] = ("prompt's end", "all over the prompt", "along the answer")
KEEP = 0.5


@dataclass(frozen=True)
class Result:
    """How a screen ranks merges."""

    places: str  # where it compares
    expert: str  # whom it compares with
    correlation: RankCorrelation | None  # of minus its divergence with the mean accuracy; None where there is none
    best_kept: float  # share of the best tenth of the merges that is in its better half


@dataclass(frozen=True)
class Measured:
    """What merges say compared with parents."""

    divergences: Mapping[Place, NDArray[np.float32]]  # place -> (n_merges, n_parents, n_prompts) in nats
    task_of: Sequence[str]  # (n_prompts,) each prompt's task
    experts: Mapping[str, Mapping[str, int]]  # rule -> task -> number of the parent that it takes

    def screens(self) -> dict[tuple[Place, str], Floats]:
        """Return (place, rule) -> (n_merges,) mean divergence."""
        found = {}
        for place, every in self.divergences.items():
            for rule, expert_of in self.experts.items():
                numbers = [expert_of[task] for task in self.task_of]
                found[place, rule] = every[:, numbers, range(len(numbers))].mean(axis=1, dtype=np.float64)
            found[place, "nearest"] = every.min(axis=1).mean(axis=1, dtype=np.float64)
            found[place, "all"] = every.mean(axis=(1, 2), dtype=np.float64)
        return found


class Comparing:
    """Compares live models with the parents of a campaign, on some prompts of its search items."""

    def __init__(self, parts: Parts, n_prompts: int) -> None:
        language_model = parts.fitness.language_model
        assert language_model is not None
        self._language_model = language_model
        self._resident = build_resident(parts.config, parts.parents)
        self._alone = {landmark.name: landmark.recipe for landmark in parts.space.landmarks()}
        self.parents = [parent.name for parent in parts.config.parents]
        self.checkpoints = list(parts.config.sources)
        drawn = draw_prompts(parts.fitness, parts.objectives, n_prompts)
        self.prompts = {item: prompt for item, prompt in drawn.items() if isinstance(prompt, Completion)}
        task_of = parts.fitness.task_of
        self.task_of = [task_of[item] for item in self.prompts]

    def ends(self) -> dict[str, list[NDArray[np.float32]]]:
        """Return checkpoint -> its log-probabilities at each prompt's end, (1, n_vocabulary)."""
        plan = self._language_model.plan([NextTokens(prompt.prompt) for prompt in self.prompts.values()])
        return {name: list(map(_log_probabilities, plan.answer(self._alone_model(name)))) for name in self.checkpoints}

    def measure(self, merges: Sequence[em.Candidate]) -> dict[Place, NDArray[np.float32]]:
        """Return place -> (n_merges, n_parents, n_prompts) divergences."""
        asked = self._requests()
        plan = self._language_model.plan([request for _, _, _, request in asked])
        experts: dict[int, NDArray[np.float32]] = {}
        for number, parent in enumerate(self.parents):
            for k, answer in enumerate(plan.answer(self._alone_model(parent))):
                if asked[k][1] == number:
                    experts[k] = _log_probabilities(answer)
        found = {place: np.zeros((len(merges), len(self.parents), len(self.prompts)), np.float32) for place in PLACES}
        for row, merge in enumerate(merges):
            self._resident.become(merge.recipe)
            answers = plan.answer(self._resident.model)
            for k, (place, number, prompt, _) in enumerate(asked):
                found[place][row, number, prompt] = js_divergence(experts[k], _log_probabilities(answers[k])).mean()
            if row % 20 == 0:
                print(f"{row}/{len(merges)}", file=sys.stderr, flush=True)
        return found

    def _requests(self) -> list[tuple[Place, int, int, Request]]:
        """Return (place, number of the parent, number of the prompt, what is asked)."""
        asked: list[tuple[Place, int, int, Request]] = []
        for number, parent in enumerate(self.parents):
            written = self._language_model.plan(list(self.prompts.values())).answer(self._alone_model(parent))
            for k, (prompt, answer) in enumerate(zip(self.prompts.values(), written, strict=True)):
                along = (
                    NextTokensAlong(prompt.prompt, str(answer)) if str(answer).strip() else NextTokens(prompt.prompt)
                )
                asked.append(("prompt's end", number, k, NextTokens(prompt.prompt)))
                asked.append(("all over the prompt", number, k, NextTokens(prompt.prompt, 8)))
                asked.append(("along the answer", number, k, along))
        return asked

    def _alone_model(self, name: str) -> nn.Module:
        self._resident.become(self._alone[name])
        return self._resident.model


def measured(
    parts: Parts, rows: Mapping[int, em.responses.KeptRow], merges: Sequence[em.Candidate], n_prompts: int
) -> Measured:
    """Compare merges with the parents on some prompts; of the rows those of the parents alone are needed."""
    comparing = Comparing(parts, n_prompts)
    ends = comparing.ends()
    accuracy_of = {row.model: _by_task(parts, row) for row in rows.values()}
    rules: dict[str, Callable[[str], str]] = {
        "best parent": lambda task: max(comparing.parents, key=lambda parent: accuracy_of[parent][task]),
        "most distinct": lambda task: most_distinct(_of_task(ends, comparing.task_of, task), comparing.parents),
        "surest": lambda task: min(
            comparing.parents, key=lambda parent: _entropy(_of_task(ends, comparing.task_of, task)[parent])
        ),
    }
    tasks = dict.fromkeys(comparing.task_of)
    experts = {name: {task: comparing.parents.index(rule(task)) for task in tasks} for name, rule in rules.items()}
    return Measured(comparing.measure(merges), comparing.task_of, experts)


def results(measured: Measured, accuracy: Floats) -> list[Result]:
    """Return how each screen ranks merges of (n_merges,) known accuracy."""
    best = np.argsort(-accuracy)[: max(1, len(accuracy) // 10)]
    found = []
    for (place, rule), divergence in measured.screens().items():
        kept = np.argsort(divergence)[: round(KEEP * len(divergence))]
        correlation = rank_correlation((-divergence).tolist(), accuracy.tolist())
        found.append(Result(place, rule, correlation, float(np.isin(best, kept).mean())))
    return found


def as_table(found: Sequence[Result], n_merges: int) -> Table:
    """Return the results as a table."""
    rows = []
    for result in found:
        c = result.correlation
        numbers = ("-", "-") if c is None else (f"{c.value:+.2f}", f"{c.low:+.2f} to {c.high:+.2f}")
        rows.append([result.places, result.expert, *numbers, f"{result.best_kept:.0%}"])
    kept = f"best tenth among the better {KEEP:.0%}"
    return table(f"{n_merges} merges", ["compared", "expert", "rank correlation", "95 % interval", kept], rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Which label-free screen ranks merges as their accuracy does?")
    parser.add_argument("campaign", type=Path)
    parser.add_argument("--responses", type=Path, required=True, help="rows that `evomerge reduce` kept")
    parser.add_argument("--models", type=int, help="the first so many; by default all rows")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    parts = build_parts(with_compute_dtype(em.config.load_campaign(options.campaign)))
    rows = em.responses.kept_rows(options.responses)
    asked = em.responses.respondents(parts.space, max(rows) + 1, parts.config.seed)
    merges = [c for c in asked if c.label is None and c.number in rows][: options.models]
    if any(rows[c.number].recipe != c.recipe.digest for c in merges):
        raise SystemExit(f"{options.responses}: expected rows of this campaign, found other merges")
    accuracy = np.array([np.mean(list(_by_task(parts, rows[c.number]).values())) for c in merges])
    found = results(measured(parts, rows, merges, options.prompts), accuracy)
    if options.json:
        print(json.dumps([asdict(result) for result in found], indent=2))
    else:
        make_console().print(as_table(found, len(merges)))


def _by_task(parts: Parts, row: em.responses.KeptRow) -> dict[str, float]:
    task_of = parts.fitness.task_of
    tasks = np.array([task_of[item] for item in row.scores.item_ids])
    return {str(task): float(row.scores.values[tasks == task].mean()) for task in np.unique(tasks)}


def _of_task(
    ends: Mapping[str, Sequence[NDArray[np.float32]]], task_of: Sequence[str], task: str
) -> dict[str, NDArray[np.float32]]:
    return {
        name: np.concatenate([end for end, of in zip(each, task_of, strict=True) if of == task])
        for name, each in ends.items()
    }


def _entropy(log_p: NDArray[np.float32]) -> float:
    return -float((np.exp(log_p) * log_p).sum(axis=-1).mean())


def _log_probabilities(answer: Answer) -> NDArray[np.float32]:
    assert isinstance(answer, Distributions)
    return np.maximum(answer.log_probabilities, np.finfo(np.float16).min)


if __name__ == "__main__":
    main()
