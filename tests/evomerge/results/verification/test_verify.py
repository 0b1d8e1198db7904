import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.campaign.campaign import Campaign
from evomerge.campaign.progress import Limits
from evomerge.candidate import Candidate, Done, Failure, Scored
from evomerge.optimisers.random_search import RandomSearch
from evomerge.results.verification.contenders import contenders
from evomerge.results.verification.result import Verification, VerificationError
from evomerge.results.verification.verifier import Verifier
from evomerge.workers.in_process import InProcessPool
from fitness.estimation import MeanEstimator, Objective
from fitness.scores import Budget, ItemScores
from fitness.splits import Splits
from fitness.statistics import PairedComparison
from search_spaces.spaces.space import Landmark
from tests.evomerge.toy import ToySpace

TASKS = ("sums", "words")
OBJECTIVES = tuple(Objective(task, (task,)) for task in TASKS)
SPLITS = Splits.draw_by_place(
    {task: [str(i) for i in range(300)] for task in TASKS},
    shares={"search": 0.2, "validation": 0.2, "test": 0.6},
    seed=0,
)
TASK_OF = {item: item.split("/")[0] for item in SPLITS.item_ids}
ESTIMATOR = MeanEstimator(OBJECTIVES, task_of=TASK_OF, splits=SPLITS)


class CoinWorker:
    """Every item is a coin that falls on 1 with a chance that the recipe's two weights give."""

    def __init__(self, gain: float, broken: frozenset[tuple[int, str]] = frozenset()) -> None:
        self.gain, self.broken, self.seen = gain, broken, []

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        self.seen.append((candidate.number, budget.split))
        if (candidate.number, budget.split) in self.broken:
            return Failure(candidate, "evaluate", "broken on purpose")
        a, b = (float(i.parameters["weight"]) for i in candidate.recipe.rules[0].inputs)
        chance = 0.4 + self.gain * min(a, b)
        items = SPLITS.select(budget)
        draws = np.random.default_rng([candidate.number, len(items)]).random(len(items))
        return Scored(candidate, ItemScores(items, (draws < chance).astype(float)), 0.1)


COMPARISON = PairedComparison(OBJECTIVES, TASK_OF)


def searched(
    path: Path, worker: CoinWorker, evaluations: int = 30, landmarks: Sequence[Landmark] = ()
) -> tuple[Archive, Verifier]:
    archive = Archive.create(path / "a.sqlite", "")
    pool = InProcessPool(lambda: worker)
    limits = Limits(evaluations)
    optimiser = RandomSearch(2, seed=1)
    Campaign(archive, ToySpace(), optimiser, estimator=ESTIMATOR, pool=pool, limits=limits, landmarks=landmarks).run()
    worker.seen.clear()
    return archive, Verifier(archive, pool, ESTIMATOR, COMPARISON)


def test_a_real_winner_is_called_one(tmp_path: Path) -> None:
    _, verifier = searched(tmp_path, CoinWorker(gain=0.5))
    found = verifier.verify(3, validation=True)
    assert found.wins
    assert found.verdict.startswith(
        f"Candidate {found.winner} is better than every parent in the mean of the objectives: the "
    )


@pytest.mark.parametrize(("name", "wins"), [("RegMean", True), ("default TIES", False), ("warm start 1", False)])
def test_a_landmark_may_win_unless_it_is_what_searches_are_compared_with(tmp_path: Path, name: str, wins: bool) -> None:
    best = Landmark(name, ToySpace().decode(np.ones(2)))
    _, verifier = searched(tmp_path, CoinWorker(gain=0.5), landmarks=[best])
    found = verifier.verify(3, validation=True)
    assert (found.winner == 3) == wins
    (row,) = (row for row in found.rows if row.name == name)
    assert (row.candidate, row.kind) == (3, "winner" if wins else "baseline")
    assert found.verdict.startswith(f"Candidate 3 ({name}) is better") == wins
    assert (found.winners[0].bought is None) == wins  # no search was needed for it
    assert (
        "It costs no search itself; over the best other recipe without search (uniform mean) it " in found.verdict
    ) == wins


def test_luck_on_search_items_is_not_a_winner(tmp_path: Path) -> None:
    _, verifier = searched(tmp_path, CoinWorker(gain=0.0))
    found = verifier.verify(3, validation=True)
    assert not found.wins
    assert found.verdict.startswith(f"Candidate {found.winner} is not shown to be better than every parent in the mean")
    assert "which may be chance" in found.verdict


def test_chance_alone_wins_in_at_most_a_twentieth_of_verifications(tmp_path: Path) -> None:
    wins = []
    for run in range(40):
        (tmp_path / str(run)).mkdir()
        worker = CoinWorker(gain=0.0)
        archive, verifier = searched(tmp_path / str(run), worker, evaluations=8 + run)
        wins.append(verifier.verify(2, validation=True).wins)
        archive.close()
    assert sum(wins) <= 4


def test_the_winner_is_picked_on_validation_items_before_test_items_are_seen(tmp_path: Path) -> None:
    worker = CoinWorker(gain=0.5)
    archive, verifier = searched(tmp_path, worker)
    found = verifier.verify(4, validation=True)
    splits = [split for _, split in worker.seen]
    assert splits == ["validation"] * 6 + ["test"] * (3 + len(found.winners))
    proposed = [r for r in archive.records("validation") if r.number > 2]
    assert len(proposed) == 4
    best = max(proposed, key=lambda r: sum(o.value for o in r.estimate.objectives))
    assert found.winner == best.number


def test_without_validation_items_the_best_of_the_search_is_the_winner(tmp_path: Path) -> None:
    worker = CoinWorker(gain=0.5)
    archive, verifier = searched(tmp_path, worker)
    assert verifier.verify(2, validation=False).winner == contenders(archive, 1)[0].number
    assert {split for _, split in worker.seen} == {"test"}


def test_every_parent_and_baseline_has_a_row_and_differences_are_to_the_best_parent(tmp_path: Path) -> None:
    _, verifier = searched(tmp_path, CoinWorker(gain=0.5))
    found = verifier.verify(2, validation=True)
    assert [row.name for row in found.rows][:3] == ["alpha", "beta", "uniform mean"]
    assert [row.kind for row in found.rows] == ["parent", "parent", "baseline", *["winner"] * len(found.winners)]
    best = next(row for row in found.rows if row.name == found.best_parent)
    assert best.difference is None
    for row in found.rows:
        assert row.difference is None or row.difference.value == pytest.approx(row.mean - best.mean)


def test_verifying_again_scores_nothing_again_and_says_the_same(tmp_path: Path) -> None:
    worker = CoinWorker(gain=0.5)
    _, verifier = searched(tmp_path, worker)
    first = verifier.verify(3, validation=True)
    worker.seen.clear()
    assert verifier.verify(3, validation=True) == first
    assert worker.seen == []


def test_the_verification_is_noted_in_the_archive(tmp_path: Path) -> None:
    archive, verifier = searched(tmp_path, CoinWorker(gain=0.5))
    found = verifier.verify(2, validation=True)
    assert Verification.from_json(archive.noted("verification") or "") == found


def test_verification_is_not_part_of_the_history_that_is_replayed(tmp_path: Path) -> None:
    archive, verifier = searched(tmp_path, CoinWorker(gain=0.5))
    before = len(list(archive.history()))
    verifier.verify(2, validation=True)
    assert len(list(archive.history())) == before


def test_a_candidate_that_fails_on_held_out_items_is_left_out(tmp_path: Path) -> None:
    worker = CoinWorker(gain=0.5)
    archive, verifier = searched(tmp_path, worker)
    first = contenders(archive, 1)[0].number
    worker.broken = frozenset({(first, "validation")})
    found = verifier.verify(3, validation=True)
    assert first not in [row.candidate for row in found.rows]
    assert [r.reason for r in archive.records("validation") if r.estimate is None] == ["broken on purpose"]


def test_a_parent_that_fails_on_held_out_items_is_an_error(tmp_path: Path) -> None:
    worker = CoinWorker(gain=0.5, broken=frozenset({(1, "test")}))
    _, verifier = searched(tmp_path, worker)
    with pytest.raises(VerificationError, match="'beta'"):
        verifier.verify(2, validation=True)


def test_nothing_to_verify_is_an_error(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "a.sqlite", "")
    with pytest.raises(VerificationError, match="run the search first"):
        contenders(archive, 2)


class AbilityWorker:
    """An item is right where its threshold, the same for all candidates, is below the candidate's ability."""

    def __init__(self, abilities: dict[str, tuple[float, float]], merged: tuple[float, float]) -> None:
        self.abilities, self.merged = abilities, merged
        draws = np.random.default_rng(3).random(len(SPLITS.item_ids))
        self.threshold = dict(zip(SPLITS.item_ids, draws, strict=True))

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        ability = self.abilities.get(candidate.label or "", self.merged)
        items = SPLITS.select(budget)
        values = [float(self.threshold[item] < ability[TASKS.index(TASK_OF[item])]) for item in items]
        return Scored(candidate, ItemScores(items, np.array(values)), 0.1)


def verified(path: Path, worker: AbilityWorker, **options):
    archive = Archive.create(path / "a.sqlite", "")
    pool = InProcessPool(lambda: worker)
    search = RandomSearch(2, seed=1)
    Campaign(archive, ToySpace(), search, estimator=ESTIMATOR, pool=pool, limits=Limits(12)).run()
    return Verifier(archive, pool, ESTIMATOR, COMPARISON, **options).verify(3, validation=True)


def test_a_merge_that_beats_the_best_parent_by_the_mean_but_not_every_parent_is_not_called_better(
    tmp_path: Path,
) -> None:
    found = verified(tmp_path, AbilityWorker({"alpha": (0.9, 0.1), "beta": (0.1, 0.95)}, (0.5, 0.5)))
    assert not found.wins
    assert (
        "is not shown to be better than every parent in the mean of the objectives: it differs from beta"
        in found.verdict
    )


def test_a_true_trade_off_is_called_one_and_names_both_sides(tmp_path: Path) -> None:
    # On validation items alpha is the best parent; beta is so good at words that the merge's lead on it may be chance.
    abilities = {"alpha": (0.7, 0.3), "beta": (0.2, 0.78), "uniform mean": (0.3, 0.3)}
    found = verified(tmp_path, AbilityWorker(abilities, (0.7, 0.36)), margin=0.03)
    assert found.best_parent == "alpha"
    assert found.standing == "trade_off"
    assert not found.wins
    assert (
        f"as good as the best parent (alpha) on {TASKS[0]}, to within 0.03, and better on {TASKS[1]}" in found.verdict
    )


def test_what_a_free_recipe_trades_as_well_is_told_but_is_no_standing(tmp_path: Path) -> None:
    abilities = {"alpha": (0.7, 0.3), "beta": (0.2, 0.78), "uniform mean": (0.7, 0.36)}
    found = verified(tmp_path, AbilityWorker(abilities, (0.7, 0.36)), margin=0.03)
    assert found.standing == "not_shown"
    assert "is as good as the best parent (alpha)" in found.verdict
    assert found.verdict.endswith("On no objective it is shown to be better than uniform mean.")


def test_without_the_margin_there_is_no_trade_off(tmp_path: Path) -> None:
    abilities = {"alpha": (0.7, 0.3), "beta": (0.2, 0.78), "uniform mean": (0.3, 0.3)}
    found = verified(tmp_path, AbilityWorker(abilities, (0.7, 0.36)), margin=0.0)
    assert found.standing == "not_shown"


def test_what_a_better_mean_costs_is_part_of_the_verdict(tmp_path: Path) -> None:
    abilities = {"alpha": (0.7, 0.3), "beta": (0.2, 0.2)}
    found = verified(tmp_path, AbilityWorker({**abilities, "uniform mean": (0.5, 0.5)}, (0.6, 0.8)))
    assert found.wins
    assert found.verdict.endswith("It is worse than the best parent (alpha) on sums.")


def test_a_winner_that_a_free_recipe_equals_is_not_called_better(tmp_path: Path) -> None:
    abilities = {"alpha": (0.5, 0.3), "beta": (0.2, 0.2), "uniform mean": (0.7, 0.7)}
    found = verified(tmp_path, AbilityWorker(abilities, (0.7, 0.7)))
    assert (found.standing, found.wins) == ("better_than_parents", False)
    assert "is better than every parent" in found.verdict
    assert "The recipe uniform mean, which costs no search, does as well: +0.000" in found.verdict


def test_a_winner_that_may_gain_over_a_free_recipe_by_chance_is_only_better_than_the_parents(tmp_path: Path) -> None:
    abilities = {"alpha": (0.5, 0.3), "beta": (0.2, 0.2), "uniform mean": (0.69, 0.69)}
    found = verified(tmp_path, AbilityWorker(abilities, (0.7, 0.7)))
    assert found.standing == "better_than_parents"
    assert "Over the best recipe without search (uniform mean) it gains +0.0" in found.verdict
    assert "which may be chance" in found.verdict


def test_what_the_search_bought_over_the_best_free_recipe_is_told(tmp_path: Path) -> None:
    abilities = {"alpha": (0.5, 0.3), "beta": (0.2, 0.2), "uniform mean": (0.6, 0.6)}
    found = verified(tmp_path, AbilityWorker(abilities, (0.7, 0.7)))
    bought = found.winners[0].bought
    assert found.wins
    assert bought is not None
    rows = {row.name: row.mean for row in found.rows}
    assert bought.difference.value == pytest.approx(found.rows[-1].mean - rows["uniform mean"])
    assert bought.difference.low > 0
    assert "Over the best recipe without search (uniform mean) it gains +" in found.verdict


def test_a_pick_that_a_specialist_parent_beats_is_not_offered(tmp_path: Path) -> None:
    abilities = {"alpha": (0.9, 0.1), "beta": (0.2, 0.2)}
    found = verified(tmp_path, AbilityWorker(abilities, (0.7, 0.7)))
    picks = [pick for winner in found.winners for pick in winner.picks]
    assert "best:sums" not in picks
    assert {"best", "knee", "best:words"} <= set(picks)


def test_negative_flips_are_counted_beside_gains(tmp_path: Path) -> None:
    found = verified(tmp_path, AbilityWorker({"alpha": (0.5, 0.5), "beta": (0.2, 0.2)}, (0.4, 0.7)))
    (winner,) = found.winners
    assert winner.flips_against == "alpha"
    sums, words = winner.flips
    assert (sums.objective, sums.gained, sums.lost > 0, sums.n_items) == ("sums", 0, True, 180)
    assert (words.objective, words.gained > 0, words.lost) == ("words", True, 0)
    difference = winner.comparisons[0].objectives
    assert difference[0].value == pytest.approx(-sums.lost / 180)
    assert difference[1].value == pytest.approx(words.gained / 180)
    assert any("0 items gained" in fact and "lost (negative flips), of 180" in fact for fact in winner.facts)


def test_the_search_to_test_gap_is_the_expected_search_score_less_test_score_with_its_interval(tmp_path: Path) -> None:
    archive, verifier = searched(tmp_path, CoinWorker(gain=0.0))
    winner = verifier.verify(3, validation=True).winners[0]
    searched_mean = next(r.estimate.mean for r in archive.records("search") if r.number == winner.candidate)
    scores = archive.scores(winner.candidate, "test")
    assert winner.score.observed == searched_mean > winner.score.expected
    assert winner.gap.value == pytest.approx(winner.score.expected - ESTIMATOR.estimate(scores).mean)
    assert winner.gap.low < winner.gap.value < winner.gap.high
    assert winner.gap.high - winner.gap.low == pytest.approx(2 * 1.97 * 0.5 / len(scores.item_ids) ** 0.5, rel=0.1)


def test_every_pick_has_a_winner_and_intervals_widen_with_their_number(tmp_path: Path) -> None:
    archive, verifier = searched(tmp_path, CoinWorker(gain=0.5), evaluations=40)
    found = verifier.verify(8, validation=True)
    assert sorted(pick for winner in found.winners for pick in winner.picks) == [
        "best",
        "best:sums",
        "best:words",
        "knee",
    ]
    assert [winner.candidate for winner in found.winners] == [r.candidate for r in found.rows if r.kind == "winner"]
    assert len(found.winners) > 1
    level = 100 * (1 - 0.05 * 6 / np.pi**2 / len(found.winners))
    assert all(f"({level:.3g} % interval" in winner.verdict for winner in found.winners)
    validation = {r.number: r.estimate for r in archive.records("validation") if r.number > 2}
    for k, task in enumerate(TASKS):
        best = max(validation, key=lambda number: validation[number].objectives[k].value)
        picked = next(winner for winner in found.winners if f"best:{task}" in winner.picks).candidate
        assert validation[picked].objectives[k].value == validation[best].objectives[k].value


def test_the_best_parent_is_not_chosen_on_test_items(tmp_path: Path) -> None:
    archive, verifier = searched(tmp_path, CoinWorker(gain=0.0))
    found = verifier.verify(2, validation=True)
    validation = {r.number: r.estimate.mean for r in archive.records("validation") if r.number < 2}
    assert found.chosen_on == "validation"
    assert found.best_parent == ("alpha", "beta")[max(validation, key=validation.__getitem__)]


class MaskWorker(CoinWorker):
    """Scores depend on the recipe's seed."""

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        self.seen.append((candidate.number, budget.split))
        items = SPLITS.select(budget)
        draws = np.random.default_rng([candidate.number, candidate.recipe.seed, len(items)]).random(len(items))
        return Scored(candidate, ItemScores(items, (draws < 0.5).astype(float)), 0.1)


class MaskSpace(ToySpace):
    """The same with DARE."""

    def decode(self, genome):
        recipe = super().decode(genome)
        inputs = tuple(replace(i, parameters={**i.parameters, "density": 0.5}) for i in recipe.rules[0].inputs)
        return replace(recipe, rules=(replace(recipe.rules[0], operator="dare_linear", inputs=inputs),), seed=7)


def test_a_winner_with_random_masks_is_scored_with_other_masks_once_and_keeps_its_own(tmp_path: Path) -> None:
    worker = MaskWorker(gain=0.0)
    archive = Archive.create(tmp_path / "a.sqlite", "")
    pool = InProcessPool(lambda: worker)
    search = RandomSearch(2, seed=1)
    Campaign(archive, MaskSpace(), search, estimator=ESTIMATOR, pool=pool, limits=Limits(12)).run()
    verifier = Verifier(archive, pool, ESTIMATOR, COMPARISON, n_masks=2)
    found = verifier.verify(1, validation=True)
    (winner,) = found.winners
    assert winner.masks is not None
    assert (winner.masks.split, winner.masks.seeds) == ("validation", (8, 9))
    own = ESTIMATOR.estimate(archive.scores(winner.candidate, "validation"))
    assert winner.masks.own == own.mean
    assert len({own.mean, *winner.masks.means}) == 3
    assert any("with 2 other random masks" in fact for fact in winner.facts)
    assert archive.candidate(winner.candidate).recipe.seed == 7
    worker.seen.clear()
    assert verifier.verify(1, validation=True) == found
    assert worker.seen == []


def test_a_winner_without_random_masks_is_not_scored_again(tmp_path: Path) -> None:
    _, verifier = searched(tmp_path, CoinWorker(gain=0.5))
    assert [winner.masks for winner in verifier.verify(1, validation=True).winners] == [None]


def test_one_objective_and_graded_scores_have_one_winner_and_no_flips(tmp_path: Path) -> None:
    class Graded(CoinWorker):
        def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
            done = super().evaluate(candidate, budget)
            return replace(done, scores=ItemScores(done.scores.item_ids, 0.3 * done.scores.values - 1))

    objectives = (Objective("all", TASKS),)
    estimator = MeanEstimator(objectives, task_of=TASK_OF, splits=SPLITS)
    archive = Archive.create(tmp_path / "a.sqlite", "")
    pool = InProcessPool(lambda: Graded(gain=0.5))
    search = RandomSearch(2, seed=1)
    Campaign(archive, ToySpace(), search, estimator=estimator, pool=pool, limits=Limits(30)).run()
    found = Verifier(archive, pool, estimator, PairedComparison(objectives, TASK_OF)).verify(4, validation=False)
    (winner,) = found.winners
    assert (winner.picks, winner.flips, found.chosen_on) == (("best",), (), "search")
    assert winner.gap is not None
    assert winner.comparisons[0].mean.low < winner.comparisons[0].mean.value


def test_a_verification_of_an_earlier_version_is_still_read(tmp_path: Path) -> None:
    _, verifier = searched(tmp_path, CoinWorker(gain=0.5))
    now = json.loads(verifier.verify(2, validation=True).to_json())
    before = {key: now[key] for key in ("rows", "best_parent", "winner", "wins", "verdict")}
    old = Verification.from_json(json.dumps(before))
    assert (old.winners, old.standing, len(old.rows)) == ((), "better", len(now["rows"]))
