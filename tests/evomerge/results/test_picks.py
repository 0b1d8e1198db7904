"""A pick means one candidate, wherever it is asked for: by search items before a verification, then by its items."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.campaign.campaign import Campaign
from evomerge.campaign.progress import Limits
from evomerge.candidate import Candidate, Done, Failure, Scored
from evomerge.optimisers.random_search import RandomSearch
from evomerge.pareto import knee
from evomerge.results.front import front_as_json, read_front
from evomerge.results.model_card import model_card
from evomerge.results.picks import PickError, pick, read_picks
from evomerge.results.report.contents import read_contents
from evomerge.results.report.details import candidate_marks
from evomerge.results.report.figures import front_figures
from evomerge.results.selected import expected
from evomerge.results.verification.contenders import picks
from evomerge.results.verification.result import Verification
from evomerge.results.verification.verifier import Verifier
from evomerge.workers.in_process import InProcessPool
from fitness.estimation import MeanEstimator, Objective
from fitness.scores import Budget, Estimate, ItemScores, ObjectiveEstimate
from fitness.splits import Splits
from fitness.statistics import PairedComparison
from tests.evomerge.toy import ToySpace

TASKS = ("sums", "words", "general")
SPLITS = Splits.draw_by_place(
    {task: [str(i) for i in range(100)] for task in TASKS},
    shares={"search": 0.3, "validation": 0.3, "test": 0.4},
    seed=0,
)
TASK_OF = {item: item.split("/")[0] for item in SPLITS.item_ids}
CHOICES = ("knee", "best", "best:sums", "best:words")


class Skilled:
    """Coins: the parents are good at one thing each, merges at both and the less at `general`, and luck decides."""

    def __init__(self, specialist: float, broken: frozenset[tuple[int, str]] = frozenset()) -> None:
        self.specialist, self.broken = specialist, broken

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        if (candidate.number, budget.split) in self.broken:
            return Failure(candidate, "evaluate", "broken on purpose")
        a, b = (float(i.parameters["weight"]) for i in candidate.recipe.rules[0].inputs)
        chance = {"sums": 0.3 + 0.4 * a, "words": 0.3 + 0.4 * b, "general": 0.9 - 0.4 * max(a, b)}
        if candidate.label == "alpha":
            chance = {"sums": self.specialist, "words": 0.1, "general": 0.9}
        items = SPLITS.select(budget)
        draws = np.random.default_rng([candidate.number, len(items)]).random(len(items))
        return Scored(candidate, ItemScores(items, (draws < [chance[TASK_OF[i]] for i in items]).astype(float)), 0.1)


class Run:
    """A toy search with weights, and what verifies it."""

    def __init__(self, path: Path, worker: Skilled, weights: tuple[float, ...] = (1.0, 1.0, 0.0)) -> None:
        self.path, self.pool = path / "a.sqlite", InProcessPool(lambda: worker)
        objectives = tuple(Objective(task, (task,), weight) for task, weight in zip(TASKS, weights, strict=True))
        self.estimator = MeanEstimator(objectives, task_of=TASK_OF, splits=SPLITS)
        entries = ", ".join(f"{{name: {o.name}, tasks: [x], weight: {o.weight}}}" for o in objectives)
        self.archive = Archive.create(self.path, f"name: toy\nobjectives: [{entries}]\n")
        self.comparison = PairedComparison(objectives, TASK_OF)

    def search(self, evaluations: int = 25) -> None:
        Campaign(
            self.archive,
            ToySpace(),
            RandomSearch(2, seed=1),
            estimator=self.estimator,
            pool=self.pool,
            limits=Limits(evaluations),
        ).run()

    def verify(self, top: int = 6) -> Verification:
        return Verifier(self.archive, self.pool, self.estimator, self.comparison).verify(top, validation=True)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run(tmp_path, Skilled(0.99))
    made.search()
    return made


def everywhere(archive: Archive, choice: str) -> set[int]:
    """Return what a pick is for the front, its JSON, the page, and whoever asks for one candidate."""
    contents = read_contents(archive)
    found = {pick(archive, choice).number, read_front(archive).picks[choice], contents.picks[choice]}
    marked = [n for n, marks in candidate_marks(contents).items() if {"best": "best mean"}.get(choice, choice) in marks]
    return {*found, *marked, front_as_json(archive, "toy")["picks"]["candidates"][choice]}


def means_of(archive: Archive, split: str, weights: tuple[float, ...]) -> dict[int, float]:
    """Return the means by hand, from the item scores alone."""
    found = {}
    for record in archive.records(split):
        scores = archive.scores(record.number, split)
        tasks = [
            np.mean([v for i, v in zip(scores.item_ids, scores.values, strict=True) if TASK_OF[i] == t]) for t in TASKS
        ]
        found[record.number] = float(np.average(tasks, weights=weights))
    return found


def test_before_a_verification_search_items_choose_and_it_is_said(run: Run) -> None:
    picks = read_picks(run.archive)
    assert (picks.by, set(picks.chosen)) == ("search", {*CHOICES})
    means = {n: sum(o.value for o in e.objectives[:2]) / 2 for n, e in expected(run.archive).items()}
    assert means[picks["best"]] == max(means.values())
    assert all(everywhere(run.archive, choice) == {picks[choice]} for choice in CHOICES)
    assert picks.in_words[0].startswith("picks by search items: ")
    assert (
        picks.in_words[-1]
        == "nothing is verified: they go by what is expected of candidates, less than was observed of lucky ones"
    )
    with pytest.raises(PickError, match="run `evomerge verify` first"):
        pick(run.archive, "winner")


def test_after_one_its_picks_hold_everywhere(run: Run) -> None:
    before = dict(read_picks(run.archive).chosen)
    found = run.verify()
    by_pick = {name: winner.candidate for winner in found.winners for name in winner.picks}
    assert by_pick.items() - before.items()  # validation items choose others here
    for choice, number in {**by_pick, "winner": found.winner}.items():
        assert everywhere(run.archive, choice) - {found.winner} <= {number}
        assert pick(run.archive, choice).number == number
    front = read_front(run.archive)
    assert (front.knee.candidate.number, front.picks.by) == (by_pick["knee"], "validation")
    (drawn,) = (t for t in front_figures(read_contents(run.archive))[0]["data"] if t.get("name") == "knee")
    assert [row[0] for row in drawn["customdata"]] == [by_pick["knee"]]
    assert front.picks.in_words[0].startswith("picks by validation items: winner, best")
    assert "these are the picks of verification 1" in front.picks.in_words


def test_a_pick_that_the_verification_dropped_is_not_offered_and_search_items_choice_has_a_number(run: Run) -> None:
    searched = pick(run.archive, "best:sums").number
    found = run.verify()
    (dropped,) = found.dropped
    assert dropped.pick == "best:sums"
    with pytest.raises(PickError) as raised:
        pick(run.archive, "best:sums")
    assert raised.value.exit_code == 2
    said = str(raised.value)
    assert "not offered since the verification: on validation items the parent alpha has " in said
    assert said.endswith(f"to have it, pick {searched}")
    assert pick(run.archive, str(searched)).number == searched
    assert "best:sums" in front_as_json(run.archive, "toy")["picks"]["dropped"]
    assert any(line.startswith("best:sums is not offered: on validation") for line in read_picks(run.archive).in_words)


def test_a_pick_that_fails_on_test_items_is_not_offered(tmp_path: Path) -> None:
    numbers = range(3, 25)
    run = Run(tmp_path, Skilled(0.2))
    run.search()
    best = run.verify().winner
    (tmp_path / "again").mkdir()
    again = Run(tmp_path / "again", Skilled(0.2, broken=frozenset({(best, "test")})))
    again.search()
    found = again.verify()
    assert found.winner != best
    assert found.winner in numbers
    with pytest.raises(PickError, match=f"candidate {best} failed on test items"):
        pick(again.archive, "best")


def test_a_search_that_went_on_says_whose_picks_they_are(run: Run) -> None:
    found = run.verify()
    run.search(40)
    said = "these are the picks of verification 1, of the first 25 of 40 candidates: verify again to choose among all"
    assert said in read_picks(run.archive).in_words
    assert pick(run.archive, "best").number == found.winner
    run.verify()
    assert said not in read_picks(run.archive).in_words


def test_of_a_verification_by_an_older_evomerge_only_the_winner_is_known(run: Run) -> None:
    before = dict(read_picks(run.archive).chosen)
    found = run.verify()
    run.archive.note("verification", Verification(found.rows, "alpha", 7, wins=False, verdict="so so").to_json())
    picks = read_picks(run.archive)
    assert (picks.by, dict(picks.chosen)) == ("search", {**before, "winner": 7})


def test_a_guard_is_no_part_of_the_front_nor_of_a_pick(run: Run) -> None:
    values = {r.number: [o.value for o in r.estimate.objectives] for r in run.archive.records() if r.estimate}
    better = lambda a, b: all(x >= y for x, y in zip(a[:2], b[:2], strict=True)) and a[:2] != b[:2]  # noqa: E731
    front = {n for n, mine in values.items() if not any(better(other, mine) for other in values.values())}
    assert {p.candidate.number for p in read_front(run.archive).points} == front
    efficient = sorted(front)
    assert pick(run.archive, "knee").number == efficient[knee([values[n][:2] for n in efficient])]
    with pytest.raises(PickError, match="best:general is none: general has weight 0 and decides nothing"):
        pick(run.archive, "best:general")


@pytest.mark.parametrize("weights", [(1.0, 3.0, 0.0), (5.0, 1.0, 1.0)])
def test_one_mean_weighs_from_the_search_to_the_card(tmp_path: Path, weights: tuple[float, ...]) -> None:
    run = Run(tmp_path, Skilled(0.2), weights)
    run.search()
    searched, front, contents = (
        means_of(run.archive, "search", weights),
        read_front(run.archive),
        read_contents(run.archive),
    )
    likely = {n: np.average([o.value for o in e.objectives], weights=weights) for n, e in expected(run.archive).items()}
    assert likely[pick(run.archive, "best").number] == max(likely.values())
    assert [p.estimate.mean for p in front.points] == pytest.approx(
        [searched[p.candidate.number] for p in front.points]
    )
    assert contents.scored.means == pytest.approx([searched[n] for n in contents.scored.numbers])
    found = run.verify()
    validated, tested = means_of(run.archive, "validation", weights), means_of(run.archive, "test", weights)
    contenders = [number for number in validated if number > 2]
    assert validated[found.winner] == max(validated[number] for number in contenders)
    parents = {0: "alpha", 1: "beta"}
    assert found.best_parent == parents[max(parents, key=lambda number: validated[number])]
    assert {row.candidate: row.mean for row in found.rows} == pytest.approx(
        {row.candidate: tested[row.candidate] for row in found.rows}
    )
    best = next(row.candidate for row in found.rows if row.name == found.best_parent)
    winner = found.winners[0]
    assert winner.comparisons[0].mean.value == pytest.approx(tested[found.winner] - tested[best])
    assert winner.score.observed == pytest.approx(searched[found.winner])
    assert winner.gap.value == pytest.approx(likely[found.winner] - tested[found.winner])
    card = model_card(run.archive, run.archive.candidate(found.winner), found)
    assert f"{tested[found.winner]:.3f} |" in card
    assert "(verification 1 on them)" in card
    assert f"This model is the pick {', '.join(winner.picks)}." in card


def test_of_a_front_of_two_ends_the_knee_is_the_one_with_the_higher_mean() -> None:
    ends = [(0.979, 0.0), (0.934, 1.0)]  # a parent that can do one thing, and a merge
    known = {
        number: Estimate(
            "search", tuple(ObjectiveEstimate(name, v, 0.01, 200) for name, v in zip("ab", values, strict=True))
        )
        for number, values in enumerate(ends)
    }
    for order in ((0, 1), (1, 0)):
        assert picks({number: known[number] for number in order}).chosen["knee"] == 1
