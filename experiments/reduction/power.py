"""What verdicts find on how many items, beside the exact McNemar test and lm-eval's standard errors.

    command    python -m experiments.reduction.power [--out FILE.json]
    cost       one minute on one core
    expected   without a difference the verdict finds one in at most 2.5 %; with one it finds it about as often as the
               exact test that knows the answers are right or wrong, and oftener than lm-eval's standard errors;
               intervals hold the truth in at least 93 %, and err at either end in at most 3.5 %

One winner and one parent, n items of one task. The winner has right what the parent has wrong (a gain) on one share of
the items, and the other way round (a loss) on another; the parent has 60 % right. Three ways to call the winner better:

- the verdict of `evomerge verify` at its first verification;
- the exact McNemar test (of gains among gains and losses, 1/2; two-sided, 5 %);
- lm-eval's standard errors (sample standard deviation over sqrt(n)) as if the two models had answered different items:
  the difference is above 1.96 sqrt(se^2 + se^2).

Three more tables: what many small tasks cost against one of as many items; how often the interval of one model's
accuracy holds the truth (exact sums over binomial counts); and the same of differences, in the worlds of
`simulated_worlds` that are hard on intervals, whose verdicts `simulated_campaigns` counts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evomerge.results.verification.looks import Looks
from evomerge.results.verification.standing import Rivals, standing
from experiments.reduction.simulated_worlds import GROUPS, World
from experiments.reduction.tables import Row, as_markdown
from fitness import Difference, ItemScores, Objective, PairedComparison

Counts = NDArray[np.intp]
Floats = NDArray[np.float64]
SIZES = (20, 50, 100, 300, 1000)
PARENT = 0.6  # its accuracy
# Shares of items gained and lost.
EFFECTS = (
    (0.02, 0.02),
    (0.1, 0.1),
    (0.2, 0.2),
    (0.03, 0.01),
    (0.05, 0.0),
    (0.1, 0.05),
    (0.1, 0.0),
    (0.15, 0.05),
)
RATES, RATE_SIZES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99), (20, 50, 100, 200, 300)
TASKS = ((57, 5), (57, 20), (20, 3), (10, 10))  # how many tasks, of how many items
HARD = ("hard on intervals", "beyond what is promised")
FIRST = Looks().after([0]).error_of(0)  # what the only winner of a first verification may err


def found_by_verdict(gained: Counts, lost: Counts, n_items: int) -> NDArray[np.bool_]:
    """Return whether the real verdict calls winners with so many gains and losses better."""
    return gained >= _fewest_gains(lost, n_items, lambda g, k: verdict(g, k, n_items))


def found_by_mcnemar(gained: Counts, lost: Counts) -> NDArray[np.bool_]:
    """Return whether the exact McNemar test, two-sided at 5 %, favours winners with so many gains and losses."""
    return np.asarray(stats.binom.sf(gained - 1, gained + lost, 0.5) <= 0.025) & (gained > lost)


def found_by_lm_eval(winner: Counts, parent: Counts, n_items: int) -> NDArray[np.bool_]:
    """Return whether the difference of accuracies is above 1.96 of lm-eval's standard errors, added in squares."""
    a, b = winner / n_items, parent / n_items
    squared = (a * (1 - a) + b * (1 - b)) / (n_items - 1)  # its sample variance divides by n - 1
    return np.asarray(a - b > 1.96 * np.sqrt(squared))


def verdict(gained: int, lost: int, n_items: int) -> bool:
    """Return whether the real verdict calls one winner with so many gains and losses better."""
    items = tuple(map(str, range(n_items)))
    winner, parent = np.zeros(n_items), np.zeros(n_items)
    winner[:gained] = 1.0
    parent[n_items - lost :] = 1.0
    claim = standing(
        ItemScores(items, winner),
        Rivals({"parent": ItemScores(items, parent)}, {}, "parent"),
        comparison=PairedComparison((Objective("one", ("one",)),), dict.fromkeys(items, "one")),
        error=FIRST,
        margin=0.01,
    )
    return claim.standing == "better"


def _fewest_gains(lost: Counts, n_items: int, found: Callable[[int, int], bool]) -> Counts:
    """Return how many gains are the fewest that are found beside so many losses: more are found as well."""
    fewest = {}
    for k in np.unique(lost):
        low, high = int(k), n_items - int(k) + 1  # not found; as good as found
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if found(middle, int(k)) else (middle, high)
        fewest[k] = high
    return np.array([fewest[k] for k in lost])


def power(gains: float, losses: float, n_items: int, draws: int = 20_000) -> tuple[float, float, float]:
    """Return how often the verdict, McNemar's test and lm-eval's standard errors call the winner better."""
    both = PARENT - losses
    rng = np.random.default_rng([n_items, round(1000 * gains), round(1000 * losses)])
    gained, lost, kept, _ = rng.multinomial(n_items, [gains, losses, both, 1 - gains - losses - both], size=draws).T
    found = (
        found_by_verdict(gained, lost, n_items),
        found_by_mcnemar(gained, lost),
        found_by_lm_eval(kept + gained, kept + lost, n_items),
    )
    by_verdict, by_mcnemar, by_lm_eval = (float(np.mean(f)) for f in found)
    return by_verdict, by_mcnemar, by_lm_eval


def small_tasks(n_tasks: int, of_items: int, draws: int = 1000) -> dict[str, float]:
    """Compare tasks of few items with one task of as many: power, and items for intervals of the same width."""
    one, several = _intervals(1, n_tasks * of_items, draws), _intervals(n_tasks, of_items, draws)
    more = _intervals(n_tasks, -(-of_items * 6 // 5), draws)  # at least 1.2 times the items
    width = np.mean([d.high - d.low for d in several]) / np.mean([d.high - d.low for d in one])
    found = {
        name: float(np.mean([d.low > 0 for d in ds]))
        for name, ds in (("one", one), ("several", several), ("more", more))
    }
    return {**found, "times the items": float(width**2)}


def _intervals(n_tasks: int, of_items: int, draws: int) -> list[Difference]:
    rng = np.random.default_rng([n_tasks, of_items])
    task_of = {f"{task}/{i}": str(task) for task in range(n_tasks) for i in range(of_items)}
    compared = PairedComparison((Objective("all", tuple(map(str, range(n_tasks)))),), task_of)
    u, items = rng.random((draws, len(task_of))), tuple(task_of)
    gained, lost = (u < 0.12).astype(float), (u > 0.95).astype(float)
    return [compared.of_means(ItemScores(items, g), ItemScores(items, k)) for g, k in zip(gained, lost, strict=True)]


def coverage_of_rates(rates: Floats, n_items: int) -> tuple[Floats, Floats]:
    """Return the chance that 95 % intervals of one accuracy hold the rate that it comes from: evomerge's, Wilson's."""
    items, counts = tuple(map(str, range(n_items))), np.arange(n_items + 1)
    compared = PairedComparison((Objective("one", ("one",)),), dict.fromkeys(items, "one"))
    chance = stats.binom.pmf(counts[:, None], n_items, rates)
    own = [compared.mean(ItemScores(items, (np.arange(n_items) < k).astype(float))) for k in counts]
    wilson = [stats.binomtest(int(k), n_items).proportion_ci(method="wilson") for k in counts]
    own_held, wilson_held = (
        np.array([(d.low <= rates) & (rates <= d.high) for d in intervals]) for intervals in (own, wilson)
    )
    return (chance * own_held).sum(axis=0), (chance * wilson_held).sum(axis=0)


def coverage_of_difference(world: World, draws: int = 2000) -> tuple[float, float, float]:
    """Return how often the 95 % interval of a merge less its parent holds the truth, lies above it, lies below it."""
    truth, rng = np.array([*world.parents, world.merges]), np.random.default_rng(3)
    items = tuple(map(str, range(world.test)))
    group_of = {item: str(i // world.per_group) for i, item in enumerate(items)} if world.per_group > 1 else {}
    compared = PairedComparison((Objective("one", ("one",)),), dict.fromkeys(items, "one"), group_of)
    scores = (world.answers(rng, truth, world.test, 1)[:, 0] for _ in range(draws))
    found = [compared.of_means(ItemScores(items, mine), ItemScores(items, parents)) for parents, mine in scores]
    difference = float((truth[1] - truth[0])[0])
    above = float(np.mean([d.low > difference + 1e-12 for d in found]))
    below = float(np.mean([d.high < difference - 1e-12 for d in found]))
    return 1 - above - below, above, below


def tables() -> dict[str, Sequence[Row]]:
    """Return title -> rows, the header first."""
    powers: list[Row] = [("gained, lost", *(f"{n} items" for n in SIZES))]
    for gains, losses in EFFECTS:
        cells = (" / ".join(f"{100 * share:.1f}" for share in power(gains, losses, n)) for n in SIZES)
        powers.append((f"{100 * gains:g} %, {100 * losses:g} %", *cells))
    tasks: list[Row] = [("tasks", "one task", "the tasks", "with 1.2 times the items", "items for the same width")]
    for n_tasks, of_items in TASKS:
        f = small_tasks(n_tasks, of_items)
        shares = (f"{100 * f[name]:.1f} %" for name in ("one", "several", "more"))
        tasks.append((f"{n_tasks} of {of_items}", *shares, f"{f['times the items']:.2f} times"))
    covered = [coverage_of_rates(np.array([*RATES, *np.linspace(0.5, 0.99, 99)]), n) for n in RATE_SIZES]
    rates: list[Row] = [("accuracy", *(f"{n} items" for n in RATE_SIZES))]
    for i, rate in enumerate(RATES):
        rates.append((f"{rate:g}", *(f"{100 * own[i]:.1f} / {100 * wilson[i]:.1f}" for own, wilson in covered)))
    on_average = [[100 * share[len(RATES) :].mean() for share in both] for both in covered]
    at_least = [[100 * share[len(RATES) :].min() for share in both] for both in covered]
    for name, of_sizes in (("mean of .5 to .99", on_average), ("least of .5 to .99", at_least)):
        rates.append((name, *(f"{own:.1f} / {wilson:.1f}" for own, wilson in of_sizes)))
    differences: list[Row] = [("world", "hold the difference", "lie above it", "lie below it")]
    for group in HARD:
        for name, world in GROUPS[group].items():
            differences.append((name, *(f"{100 * share:.1f} %" for share in coverage_of_difference(world))))
    return {
        "called better: evomerge / exact McNemar / lm-eval's standard errors, % of 20,000 draws": powers,
        "a winner that gains 12 % and loses 5 % is called better": tasks,
        "95 % intervals of one accuracy that hold it, %: evomerge / Wilson": rates,
        "95 % intervals of a difference, 2,000 draws": differences,
    }


def main() -> None:
    """Print tables in Markdown, and write the same as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found = tables()
    for title, rows in found.items():
        print("\n".join(as_markdown(title, rows)))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
