from dataclasses import replace

from evomerge.results.report.verdict import held_out_table
from fitness.statistics import Difference
from tests.evomerge.archives import verification, with_winners


def test_whiskers_lie_on_one_scale_with_zero() -> None:
    table = held_out_table(verification())
    whiskers = [row.whisker for row in table.rows if row.whisker]
    assert all(0 < w.low < w.value < w.high < 100 for w in whiskers)
    lines = zip(table.rows, verification().rows, strict=True)
    assert all((line.whisker.low > table.zero) == (row.difference.low > 0) for line, row in lines if line.whisker)


def test_the_best_parent_is_the_reference_and_has_no_whisker() -> None:
    table = held_out_table(verification())
    assert [(r.row.name, r.role) for r in table.rows if r.whisker is None] == [("arithmetic", "best parent")]


def test_a_candidate_that_does_not_win_is_not_called_winner() -> None:
    assert [r.role for r in held_out_table(verification(wins=False)).rows[-2:]] == ["picked", "contender"]
    assert [r.role for r in held_out_table(verification(wins=True)).rows[-2:]] == ["winner", "contender"]


def test_differences_that_are_all_zero_can_be_drawn() -> None:
    found = verification()
    rows = tuple(replace(row, difference=Difference(0.0, 0.0, 0.0, 0.0)) for row in found.rows)
    assert {r.whisker.value for r in held_out_table(replace(found, rows=rows)).rows if r.whisker} == {50.0}


def test_winners_are_named_by_what_they_are_shown_to_be_and_by_their_picks() -> None:
    last = held_out_table(with_winners(verification(), "better", "trade_off")).rows[-2:]
    assert [(r.role, r.picks) for r in last] == [("winner", "best, knee"), ("trade-off", "best:words")]
    assert [r.role for r in held_out_table(with_winners(verification(), "not_shown")).rows[-2:]] == [
        "picked",
        "contender",
    ]
