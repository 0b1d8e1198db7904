from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.candidate import Candidate, Scored
from evomerge.results.verification.result import VerificationError
from evomerge.results.verification.searched_items import check_held_out, note_contents
from fitness.engine.model.tokenizer import load_tokenizer
from fitness.scores import ItemScores
from fitness.tasks.sources import TaskContext, load_tasks, make_suite
from fitness.tasks.suite import TaskSuite
from tests.evomerge.toy import weights_recipe

SHARES = {"search": 0.5, "validation": 0.2, "test": 0.3}


def lines_of(name: str, n: int = 40, first: int = 0) -> list[dict[str, object]]:
    chance = random.Random(name)
    choices = [[str(c) for c in chance.sample(range(10, 99), 3)] for _ in range(n)]
    return [{"question": f"{name} {first + i}:", "choices": c, "gold": i % 3} for i, c in enumerate(choices)]


@pytest.fixture
def suite_of(tmp_path: Path, family):
    def make(drawn: str = "by_content", **tasks: list[dict[str, object]]) -> TaskSuite:
        for name, lines in tasks.items():
            (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
        tokenizer = load_tokenizer(family.base)
        loaded = load_tasks([f"{name}.jsonl" for name in tasks], TaskContext(tmp_path, drawn=drawn))
        return make_suite(
            [t for ts in loaded.values() for t in ts], tokenizer=tokenizer, shares=SHARES, seed=3, drawn=drawn
        )

    return make


@pytest.fixture
def searched(tmp_path: Path):
    """An archive whose one candidate has answered all search items of a suite; `old`: which noted nothing."""

    def make(suite: TaskSuite, *, old: bool = False) -> Archive:
        archive = Archive.create(tmp_path / "archive.sqlite", "")
        if not old:
            note_contents(archive, suite)
        candidate = Candidate(0, weights_recipe(0.5, 0.5))
        archive.asked([candidate], None)
        items = suite.splits.items["search"]
        archive.told([(Scored(candidate, ItemScores(items, np.zeros(len(items))), 0.1), None)])
        note_contents(archive, suite)  # as a resume does: too late for one that began without
        return archive

    return make


def test_the_files_that_a_search_began_with_are_verified(suite_of, searched):
    suite = suite_of(a=lines_of("a"), b=lines_of("b"))
    assert check_held_out(searched(suite), suite) == ""


def test_a_line_put_before_the_others_lets_a_verification_go_on(suite_of, searched):
    archive = searched(suite_of(a=lines_of("a")))
    assert check_held_out(archive, suite_of(a=[*lines_of("new", 1), *lines_of("a")])) == ""


def test_held_out_items_that_asked_what_is_searched_on_now_are_found_by_content_under_other_ids_and_names(
    suite_of, searched
):
    suite = suite_of(a=[{"id": i, **line} for i, line in enumerate(lines_of("a"))])
    archive = searched(suite)
    ids = [int(item.split("/")[1]) for item in suite.splits.items["search"]]
    # another seed would do this: the same lines in a file of another name, split in another way
    other = suite_of("by_place", c=[{"id": f"own {i}", **line} for i, line in enumerate(lines_of("a"))])
    held_out = other.splits.items["validation"]
    leaked = [item for item in held_out if int(item.split()[-1]) in ids]
    assert leaked
    told = f"found {len(leaked)} of {len(held_out)} among the searched ones, '{leaked[0]}' for example"
    with pytest.raises(VerificationError, match=told):
        check_held_out(archive, other)


def test_of_an_older_archive_the_ids_are_known_and_a_redrawn_split_is_refused(suite_of, searched):
    archive = searched(suite_of("by_place", a=lines_of("a")), old=True)
    with pytest.raises(VerificationError, match="cannot verify: expected validation items that were never searched on"):
        check_held_out(archive, suite_of("by_place", a=[*lines_of("new", 1), *lines_of("a")]))


def test_what_an_older_versions_splits_let_through_is_told_with_its_number(suite_of, searched):
    suite = suite_of("by_place", a=lines_of("a"), c=lines_of("a"))
    archive = searched(suite, old=True)
    questions = {i: suite.requests(i)[0].context for split in SHARES for i in suite.splits.items[split]}
    seen = {questions[i] for i in suite.splits.items["search"]}
    for split in ("validation", "test"):
        items = suite.splits.items[split]
        equal = [i for i in items if questions[i] in seen]
        if equal:
            assert check_held_out(archive, suite).startswith(f"{len(equal)} of {len(items)} {split} items ask the same")
            break
    else:
        pytest.fail("no equal items were split apart")
