"""Prompts and answers are kept in the run directory, and shown."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import evomerge as em
from evomerge.archive import Archive
from evomerge.archive.answers import keep_answers
from evomerge.results.answers import AnswersError
from evomerge.results.front_answers import drop_others
from evomerge.results.pages.compare import Side, compare
from evomerge.results.pages.items import answer_texts
from evomerge.results.pages.snapshot import read_snapshot
from fitness.engine.language_model import Answer, LogLikelihood
from fitness.tasks.kept_answers import Asked, pack_answers, unpack_answers
from tests.conftest import Family
from tests.evomerge.conftest import Outcome

Search = Callable[..., em.Run]
HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e" + "x" * 10_000


@pytest.fixture
def facts(arguments: dict[str, Any]) -> None:
    """A third task, whose answers models write, one of them hostile."""
    items = [{"prompt": f"{HOSTILE if i == 0 else i} capital:", "answer": f"city {i}"} for i in range(12)]
    Path("facts.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    arguments["objectives"] = {"sums": "sums.jsonl", "facts": "facts.jsonl"}


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """The finished run, to be written to."""
    return em.load(finished).copy_archive(tmp_path / "copied").parent


def kept_of(run: em.Run) -> set[int]:
    with run.archive() as archive:
        return archive.answers.kept()


@pytest.mark.usefixtures("facts")
def test_the_front_and_landmarks_keep_prompts_answers_and_likelihoods(searched: Search) -> None:
    run = searched(evaluations=10)
    front = {point.candidate.number for point in run.front.points}
    landmarks = {row.number for row in run.candidates if row.candidate.proposal is None}
    assert front | landmarks <= kept_of(run) <= front | landmarks | set(run.front.picks.chosen.values())
    answers = run.answers("knee")
    scores = run.items.scores(answers.candidate)
    assert scores is not None
    assert [(one.item, one.score) for one in answers] == list(zip(scores.item_ids, scores.values, strict=True))
    chosen = next(one for one in answers if one.task == "sums")
    assert chosen.prompt.startswith("sums ")
    assert len(chosen.choices) == len(chosen.likelihoods) == 3
    assert (chosen.answer == chosen.gold) == (chosen.score == 1.0)
    written = next(one for one in answers if one.task == "facts")
    assert written.prompt.endswith("capital:")
    assert written.gold.startswith(" city")
    assert list(answers.to_pandas()["answer"]) == [one.answer for one in answers]


def test_whose_answers_are_kept_is_the_campaigns_to_say(searched: Search) -> None:
    assert kept_of(searched(answers="all")) == set(range(8))
    none = searched(answers="none", run_dir="none")
    assert kept_of(none) == set()
    with pytest.raises(AnswersError, match="the run keeps none"):
        none.answers(0)


def test_halved_generations_keep_the_answers_of_every_block(searched: Search) -> None:
    run = searched(answers="all", schedule={"kind": "halving", "first": 0.25}, evaluations=12)
    for row in run.candidates:
        scores = run.items.scores(row.number)
        assert scores is not None
        assert {one.item for one in run.answers(row.number)} == set(scores.item_ids)


def test_who_waits_to_be_told_keeps_its_answers(copied: Path) -> None:
    with contextlib.closing(Archive.open(copied / "archive.sqlite")) as archive:
        before = archive.answers.kept()
        waiting = replace(archive.candidates()[-1], number=archive.n_candidates)
        archive.asked([waiting], 1)
        with archive.transaction() as connection:
            blob = pack_answers({"sums/0": [LogLikelihood(-1.0, is_greedy=True)]})
            keep_answers(connection, [(waiting.number, "search", blob)])
        drop_others(archive)
        assert archive.answers.kept() == before | {waiting.number}


def test_verified_candidates_keep_their_answers_to_held_out_items(finished: Path) -> None:
    run = em.load(finished)
    assert run.verification is not None
    held_out = run.answers("winner", "test")
    assert {one.item for one in held_out}.isdisjoint(one.item for one in run.answers("winner"))
    assert all(one.prompt and one.gold for one in held_out)


def test_a_command_shows_items_won_and_lost_with_both_answers(finished: Path, evomerge: Callable[..., Outcome]) -> None:
    told = evomerge("answers", finished, "--candidate", "knee", "--against", "base", "--only", "changed", "--json")
    assert told.code == 0, told.err
    pairs = json.loads(told.out)
    assert {"item", "prompt", "gold", "a", "b", "outcome"} <= pairs[0].keys()
    assert all(one["outcome"] != "same" or one["a"]["answer"] != one["b"]["answer"] for one in pairs)
    one = pairs[0]
    shown = evomerge("answers", finished, "--against", "base", "--item", one["item"])
    assert shown.code == 0
    assert f"right: {one['gold']}" in shown.out
    assert one["a"]["answer"].strip() in shown.out
    assert "1 items; knee wins" in shown.out
    missing = evomerge("answers", finished, "--task", "sumz")
    assert missing.code == 1
    assert "the tasks are sums, words" in missing.err.replace("words, sums", "sums, words")


@pytest.mark.usefixtures("facts")
def test_hostile_texts_are_printed_as_text(searched: Search, evomerge: Callable[..., Outcome]) -> None:
    run = searched()
    told = evomerge("answers", run.directory, "--candidate", "0", "--task", "facts", "--limit", "0")
    assert told.code == 0
    assert "\x1b" not in told.out
    assert "\u202e" not in told.out


def test_damaged_answers_are_left_out(copied: Path) -> None:
    with contextlib.closing(Archive.open(copied / "archive.sqlite")) as archive:
        with archive.transaction() as connection:
            connection.execute("UPDATE answers SET packed = x'00' WHERE candidate = 0")
        assert archive.answers.of(0, "search") == {}
        assert archive.answers.of(1, "search")


def test_a_choice_is_the_likeliest_by_the_tasks_measure() -> None:
    asked = Asked("q", (" a", " long one"), " a", "acc")
    assert asked.chosen((-1.0, -2.0)) == " a"
    assert replace(asked, metric="acc_norm").chosen((-1.0, -2.0)) == " long one"
    texts: dict[str, list[Answer]] = {
        "t/1": ["\ud800 half"],
        "t/2": [LogLikelihood(-1.23456, is_greedy=False), LogLikelihood(0.0, is_greedy=True)],
    }
    assert unpack_answers(pack_answers(texts)) == {"t/1": ("\ud800 half",), "t/2": (-1.2346, 0.0)}


@pytest.mark.usefixtures("facts")
def test_comparisons_show_both_answers_and_reports_show_none(searched: Search) -> None:
    run = searched(answers="all")
    with run.archive() as archive:
        sides = [Side(read_snapshot(archive), archive, number) for number in (1, 2)]
        listed = compare(*sides)["splits"]["search"]["listed"]
        frozen = compare(*(replace(side, shows_answers=False) for side in sides))["splits"]["search"]["listed"]
        told = answer_texts(sides[0], "search")
    assert listed
    assert all({"question", "gold", "answer_a", "answer_b"} <= one.keys() for one in listed)
    assert not any("answer_a" in one for one in frozen)
    assert max(len(one["question"]) for one in told.values()) <= 4000
    assert "capital:" not in run.report(figures=False).read_text()


def test_a_plan_shows_a_whole_prompt_and_calls_out_what_every_parent_gets_wrong(
    finished: Path, evomerge: Callable[..., Outcome], tmp_path: Path
) -> None:
    facts = tmp_path / "facts.jsonl"
    facts.write_text("".join(json.dumps({"prompt": f"{i} is\x1b", "answer": f"city {i}"}) + "\n" for i in range(40)))
    campaign = yaml.safe_load((finished / "campaign.yaml").read_text())
    campaign["objectives"][0] = {"name": "facts", "tasks": [str(facts)]}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(campaign))
    told = evomerge("plan", tmp_path / "c.yaml")
    assert told.code == 0, told.err
    assert "facts: a whole prompt" in told.out
    assert "note: facts: every parent gets all 8 items wrong" in told.out
    assert "\x1b" not in told.out


def test_eval_logs_prompts_and_answers(family: Family, evomerge: Callable[..., Outcome], tmp_path: Path) -> None:
    facts, log = tmp_path / "facts.jsonl", tmp_path / "log.jsonl"
    facts.write_text(json.dumps({"prompt": "1 is", "answer": "one"}) + "\n")
    told = evomerge("eval", family.base, "--tasks", facts, "--log-answers", log)
    assert told.code == 0, told.err
    (line,) = map(json.loads, log.read_text().splitlines())
    assert (line["prompt"], line["gold"], line["score"]) == ("1 is", " one", 0.0)
    assert evomerge("eval", family.base, "--tasks", facts, "--log-answers", facts).code == 2
