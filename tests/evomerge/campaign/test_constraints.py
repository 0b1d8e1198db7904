"""Constraints hold in the search, in the front, in what is picked and verified, and after a resume."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomerge.archive import Archive
from evomerge.campaign import Campaign, CampaignError
from evomerge.campaign.constraints import Constraints
from evomerge.campaign.events import CandidateTold, Event
from evomerge.campaign.progress import Limits
from evomerge.candidate import Candidate, Done, Evaluation, Failure, Outcome
from evomerge.config.bounds import Bound, parse_bound
from evomerge.optimisers.random_search import RandomSearch
from evomerge.pareto import constrained_front, front
from evomerge.results.front import front_as_json, read_front
from evomerge.results.picks import pick
from evomerge.results.report.contents import read_contents
from evomerge.results.verification.verifier import contenders
from evomerge.workers.in_process import InProcessPool
from fitness.scores import Budget, Estimate, ObjectiveEstimate
from tests.evomerge.several_workers import SeveralWorkers
from tests.evomerge.toy import ToyEstimator, ToySpace, ToyWorker

AS_BETA = Bound("words", -0.05, "beta")


class Listening(RandomSearch):
    """Random search that keeps what it is told."""

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__(2, seed=seed)
        self.heard: list[Outcome] = []

    def tell(self, outcomes):
        super().tell(outcomes)
        self.heard += outcomes


def estimate(**values: float) -> Estimate:
    return Estimate("search", tuple(ObjectiveEstimate(name, value, 0.01, 10) for name, value in values.items()))


def run(path: Path, evaluations: int, bounds: list[Bound], optimiser=None, pool=None, callbacks=()) -> str:
    archive = Archive.open(path) if path.exists() else Archive.create(path, "name: toy\n")
    search = Campaign(
        archive,
        ToySpace(),
        optimiser or Listening(),
        estimator=ToyEstimator(),
        pool=pool or InProcessPool(ToyWorker),
        limits=Limits(evaluations),
        constraints=Constraints(bounds),
        callbacks=callbacks,
    )
    try:
        return search.run()
    finally:
        archive.close()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (0.6, Bound("a", 0.6)),
        (1, Bound("a", 1.0)),
        ("base", Bound("a", 0.0, "base")),
        ("base - 0.01", Bound("a", -0.01, "base")),
        ("my-parent-2 + .5", Bound("a", 0.5, "my-parent-2")),
        ("a name with - 3 words", Bound("a", 0.0, "a name with - 3 words")),
        ("base -1e-3", Bound("a", -0.001, "base")),
    ],
)
def test_bounds_are_read_as_people_write_them(written: float | str, expected: Bound) -> None:
    assert parse_bound("a", written) == expected


def test_the_violation_is_the_sum_of_what_objectives_fall_short_by() -> None:
    constraints = Constraints([Bound("a", 0.5), Bound("b", -0.1, "base")])
    assert constraints.missing == {"base"}
    assert constraints.violation(estimate(a=0.3, b=0.0)) == pytest.approx(0.2)
    constraints.learn("other", estimate(a=1.0, b=1.0))
    constraints.learn("base", estimate(a=0.0, b=0.8))
    assert constraints.missing == set()
    assert constraints.violation(estimate(a=0.3, b=0.4)) == pytest.approx(0.5)
    assert constraints.violation(estimate(a=0.5, b=0.8 - 0.1)) == 0.0
    assert constraints.violation(estimate(a=0.5, b=0.69)) == pytest.approx(0.01)


def test_a_cost_misses_its_bound_by_its_share_of_it_and_is_named_in_its_unit() -> None:
    bounds = [Bound("length", -40.0, None, "tokens"), Bound("depth", 2.0, "base", "depth"), Bound("words", 0.5)]
    constraints = Constraints(bounds)
    constraints.learn("base", estimate(length=-30.0, depth=-22.0, words=0.4))
    assert constraints.missed(estimate(length=-50.0, depth=-20.0, words=0.5)) == pytest.approx(10 / 40)
    assert constraints.missed(estimate(length=-40.0, depth=-21.0, words=0.4)) == pytest.approx(1 / 20 + 0.1)
    assert list(map(str, bounds)) == ["length at most 40 tokens", "depth at most base - 2", "words at least 0.5"]
    assert constraints.described([0.0])[1] == "constraint: depth at most base - 2 = 20.0"


def test_bounds_of_costs_are_kept_and_others_are_noted_as_they_were(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "archive.sqlite", "name: toy\n")
    bounds = (Bound("words", -0.05, "beta"), Bound("length", -40.0, None, "tokens"))
    Constraints(bounds).note(archive)
    assert json.loads(archive.noted("constraints") or "")[0] == ["words", -0.05, "beta"]
    assert Constraints.of(archive).bounds == bounds
    archive.close()


@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2), st.integers(0, 2)), max_size=12))
def test_the_constrained_front_is_the_front_of_those_that_violate_least(rows: list[tuple[int, int, int]]) -> None:
    values = np.array([row[:2] for row in rows], dtype=float).reshape(-1, 2)
    violations = np.array([row[2] for row in rows], dtype=float)
    least = [i for i in range(len(rows)) if violations[i] == violations.min()]
    expected = [least[i] for i in front(values[least])] if rows else []
    assert constrained_front(values, violations).tolist() == expected


def test_nothing_is_proposed_before_the_landmark_of_a_constraint_is_scored(tmp_path: Path) -> None:
    def log(path: Path, bound: Bound) -> list[str]:
        pool = SeveralWorkers(ToyWorker, 4)
        run(path, 12, [bound], pool=pool)
        return [f"{what} {candidate.label or 'proposal'}" for what, candidate, _ in pool.log]

    waiting = log(tmp_path / "a.sqlite", AS_BETA)
    assert waiting[:3] == ["submit alpha", "submit beta", "submit uniform mean"]
    assert waiting.index("submit proposal") > waiting.index("done beta")
    assert log(tmp_path / "b.sqlite", Bound("words", 0.9))[3] == "submit proposal"


def test_optimisers_are_told_the_violation_also_on_resume(tmp_path: Path) -> None:
    whole, first, resumed = Listening(), Listening(), Listening()
    run(tmp_path / "whole.sqlite", 20, [AS_BETA], whole)
    run(tmp_path / "cut.sqlite", 9, [AS_BETA], first)
    run(tmp_path / "cut.sqlite", 20, [AS_BETA], resumed)

    def violations(optimiser: Listening) -> list[tuple[int, float]]:
        return [(o.candidate.number, o.violation) for o in optimiser.heard if isinstance(o, Evaluation)]

    assert violations(resumed) == violations(whole)
    threshold = Constraints.of(Archive.read(tmp_path / "whole.sqlite")).thresholds[AS_BETA]
    for outcome in whole.heard:
        assert isinstance(outcome, Evaluation)
        words = outcome.estimate.objectives[1].value
        assert outcome.violation == pytest.approx(max(0.0, threshold - words))
    assert 0 < sum(violation > 0 for _, violation in violations(whole)) < 17


def test_a_failed_landmark_of_a_constraint_ends_the_search_now_and_later(tmp_path: Path) -> None:
    class Failing(ToyWorker):
        def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
            if candidate.label == "beta":
                return Failure(candidate, "evaluate", "out of memory")
            return super().evaluate(candidate, budget)

    for worker in (Failing, ToyWorker):
        with pytest.raises(CampaignError, match=r"beta failed, and a constraint \(at_least\) is measured by it"):
            run(tmp_path / "a.sqlite", 20, [AS_BETA], pool=InProcessPool(worker))


def test_the_best_so_far_keeps_the_constraints(tmp_path: Path) -> None:
    seen: list[Evaluation] = []
    bound = Bound("words", 0.0, "beta")
    run(tmp_path / "a.sqlite", 30, [bound], callbacks=[bests(seen)])
    best = seen[-1]
    assert best.violation == 0.0
    free: list[Evaluation] = []
    run(tmp_path / "b.sqlite", 30, [], callbacks=[bests(free)])
    assert free[-1].estimate.mean > best.estimate.mean
    assert free[-1].estimate.objectives[1].value < best.estimate.objectives[1].value


def bests(seen: list[Evaluation]):
    """Return a callback that notes the best so far."""

    def note(event: Event) -> None:
        if isinstance(event, CandidateTold) and event.progress.best is not None:
            seen.append(event.progress.best)

    return note


@pytest.fixture
def constrained(tmp_path: Path) -> Archive:
    run(tmp_path / "a.sqlite", 60, [AS_BETA])
    return Archive.open(tmp_path / "a.sqlite")


def test_infeasible_candidates_are_not_on_the_front_and_are_not_picked(constrained: Archive) -> None:
    found = read_front(constrained)
    threshold = found.constraints.thresholds[AS_BETA]
    assert found.feasible
    assert 0 < found.infeasible < 60
    assert all(p.objective("words").value >= threshold for p in found.points)
    values = {r.number: r.estimate for r in constrained.records() if r.estimate is not None}
    for choice in ("knee", "best", "best:sums", "best:words"):
        assert values[pick(constrained, choice).number].objectives[1].value >= threshold
    sums = [e.objectives[0].value for e in values.values() if e.objectives[1].value >= threshold]
    assert values[pick(constrained, "best:sums").number].objectives[0].value == max(sums)


def test_the_front_says_what_holds_in_words_and_in_json(constrained: Archive) -> None:
    found = read_front(constrained)
    threshold = found.constraints.thresholds[AS_BETA]
    assert found.notes == (
        f"constraint: words at least beta - 0.05 = {threshold:.3f}",
        f"{found.infeasible} of 60 scored candidates miss a constraint",
    )
    data = json.loads(json.dumps(front_as_json(constrained, "toy")))
    assert (data["feasible"], data["infeasible"]) == (True, found.infeasible)
    assert data["constraints"] == [
        {"objective": "words", "at_least": threshold, "written": "words at least beta - 0.05"}
    ]
    assert {point["violation"] for point in data["front"]} == {0.0}


def test_where_nothing_is_feasible_the_front_is_of_those_that_miss_least(tmp_path: Path) -> None:
    run(tmp_path / "a.sqlite", 40, [Bound("words", 2.0)])
    archive = Archive.read(tmp_path / "a.sqlite")
    found = read_front(archive)
    words = [r.estimate.objectives[1].value for r in archive.records() if r.estimate is not None]
    assert [p.objective("words").value for p in found.points] == [max(words)]
    assert not found.feasible
    assert found.notes[-1] == (
        f"no candidate keeps every constraint; the front is of those that miss least ({2 - max(words):.3f})"
    )
    assert contenders(archive, 3)[0].number == read_contents(archive).scored.numbers[words.index(max(words))]


def test_contenders_for_verification_keep_the_constraints(constrained: Archive) -> None:
    threshold = read_front(constrained).constraints.thresholds[AS_BETA]
    values = {r.number: r.estimate for r in constrained.records() if r.estimate is not None}
    chosen = contenders(constrained, 50)
    assert 5 < len(chosen) < 50
    assert all(values[c.number].objectives[1].value >= threshold for c in chosen)


def test_the_report_leads_with_a_feasible_candidate(constrained: Archive) -> None:
    contents = read_contents(constrained)
    best = contents.picked("best")
    assert best is not None
    assert contents.scored.violations[best] == 0.0
    assert contents.scored.violations[contents.scored.front].tolist() == [0.0] * len(contents.scored.front)
    assert contents.scored.violations.max() > 0
    assert contents.constraints[0].startswith("constraint: words at least beta - 0.05 = ")


def test_a_campaign_with_a_constraint_from_its_file_to_held_out_items(evomerge, campaign_file, tmp_path: Path) -> None:
    objectives = [
        {"name": "sums", "tasks": ["sums.jsonl"]},
        {"name": "words", "tasks": ["words.jsonl"], "at_least": "base - 0.05"},
    ]
    path = campaign_file(objectives=objectives, budget={"evaluations": 9})
    assert evomerge("run", path, "--run-dir", tmp_path / "run").code == 0
    data = json.loads(evomerge("pareto", tmp_path / "run", "--json").out)
    archive = Archive.read(tmp_path / "run" / "archive.sqlite")
    (base,) = [c.number for c in archive.landmarks() if c.label == "base"]
    words = next(r.estimate for r in archive.records() if r.number == base).objectives[1].value
    assert data["constraints"][0]["at_least"] == pytest.approx(words - 0.05)
    assert "constraint: words at least base - 0.05" in evomerge("pareto", tmp_path / "run").out
    verified = evomerge("verify", tmp_path / "run", "--top", 2)
    assert "on test items words at least base - 0.05 is " in verified.out
    (bound,) = json.loads(evomerge("verify", tmp_path / "run", "--top", 2, "--json").out)["constraints"]
    assert bound["low"] <= bound["margin"] <= bound["high"]
    assert bound["holds"] == (bound["margin"] >= 0)
    assert "on test items words at least base - 0.05 is " in (tmp_path / "run" / "report.html").read_text()
    rows = json.loads(evomerge("verify", tmp_path / "run", "--top", 2, "--json").out)
    value = {row["candidate"]: row["objectives"]["words"]["value"] for row in rows["rows"]}
    assert bound["margin"] == pytest.approx(value[rows["winner"]] - value[base] + 0.05)


def test_the_violation_of_one_candidate_can_be_asked_for(constrained: Archive) -> None:
    constraints = Constraints.of(constrained)
    threshold = constraints.thresholds[AS_BETA]
    for record in constrained.records():
        assert record.estimate is not None
        short = max(0.0, threshold - record.estimate.objectives[1].value)
        assert constraints.violation_of(constrained, record.number) == pytest.approx(short)
    assert Constraints().violation_of(constrained, 0) == 0.0
