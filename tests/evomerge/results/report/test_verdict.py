from evomerge.results.report.verdict import held_out_table
from tests.evomerge.archives import verification, with_winners


def test_the_best_parent_is_called_so() -> None:
    assert [row.row.name for row in held_out_table(verification()) if row.role == "best parent"] == ["arithmetic"]


def test_a_candidate_that_does_not_win_is_not_called_winner() -> None:
    assert [r.role for r in held_out_table(verification(wins=False))[-2:]] == ["picked", "contender"]
    assert [r.role for r in held_out_table(verification(wins=True))[-2:]] == ["winner", "contender"]


def test_winners_are_named_by_what_they_are_shown_to_be_and_by_their_picks() -> None:
    last = held_out_table(with_winners(verification(), "better", "trade_off"))[-2:]
    assert [(r.role, r.picks) for r in last] == [("winner", "best, knee"), ("trade-off", "best:words")]
    assert [r.role for r in held_out_table(with_winners(verification(), "not_shown"))[-2:]] == [
        "picked",
        "contender",
    ]
