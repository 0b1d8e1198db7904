"""The experiment of unseen tasks says what is not seen, and tells winners from what they are compared with."""

from __future__ import annotations

import pytest

from experiments.unseen.__main__ import CAMPAIGNS, SEARCHES, Found, rows, sections_of


@pytest.mark.parametrize("models", CAMPAIGNS)
def test_the_unseen_task_is_a_guard_and_all_others_weigh_alike(models: str) -> None:
    given = sections_of(models, None, "niches", 3, 40)
    assert [objective["weight"] for objective in given["objectives"]] == [1, 1, 0]
    chosen = sections_of(models, given["objectives"][0]["name"], "niches", 3, 40)
    assert [objective["weight"] for objective in chosen["objectives"]] == [0, 1, 1]
    assert (given["seed"], given["budget"], given["optimiser"]) == (
        3,
        {"evaluations": 40},
        SEARCHES["niches"]["optimiser"],
    )


def test_a_task_that_there_is_not_is_named() -> None:
    with pytest.raises(SystemExit, match=r"--unseen: expected one of \['sort', 'shift', 'rotate'\], found 'sing'"):
        sections_of("quickstart", "sing", "niches", 0, 10)


def test_rows_are_means_over_seeds_with_the_interval_of_students_t() -> None:
    found = [Found("niches", 0, 0.5, 0.1), Found("base", 0, 0.2, 0.0), Found("niches", 1, 0.7, 0.1)]
    assert rows(found) == [("niches", "2", "60.0 ± 127.1", "10.0 ± 0.0"), ("base", "1", "20.0", "0.0")]
