from __future__ import annotations

import pytest

from fitness.tasks.task_source import TaskSource


@pytest.mark.parametrize(
    ("text", "kind", "place", "detail"),
    [
        ("words.jsonl", "rows", "words.jsonl", ""),
        ("a/words.jsonl:margin", "rows", "a/words.jsonl", "margin"),
        ("a:b.jsonl", "rows", "a:b.jsonl", ""),
        ("C:/a:b.jsonl:acc", "rows", "C:/a:b.jsonl", "acc"),
        ("my.yaml:exact_match,all", "yaml", "my.yaml", "exact_match,all"),
        ("my.yml", "yaml", "my.yml", ""),
        ("arc_easy", "lm_eval", "arc_easy", ""),
        ("arc_easy:acc_norm", "lm_eval", "arc_easy", "acc_norm"),
        ("a@b.jsonl:acc", "rows", "a@b.jsonl", "acc"),
        ("python:pkg.checks:digits", "python", "pkg.checks", "digits"),
        ("python:a/checks.py:digits", "python", "a/checks.py", "digits"),
        ("python:checks", "python", "", "checks"),
    ],
)
def test_a_source_is_a_place_and_what_to_measure_there(text, kind, place, detail):
    assert TaskSource.parse(text) == TaskSource(kind, place, detail)


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("words.jsonl", "/x"),
        ("words.jsonl:margin", "/x:margin"),
        ("python:checks.py:digits", "python:/x:digits"),
    ],
)
def test_a_source_can_be_moved(text, moved):
    source = TaskSource.parse(text)
    assert source.is_file
    assert str(source.at("/x")) == moved


def test_only_divergence_wants_an_expert():
    wanting = ["a.jsonl:js_divergence", "arc_easy:js_divergence"]
    others = ["a.jsonl:entropy", "js_divergence", "python:checks:js_divergence"]
    assert all(TaskSource.parse(text).wants_expert for text in wanting)
    assert not any(TaskSource.parse(text).wants_expert for text in others)


@pytest.mark.parametrize("text", ["arc_easy@validation", "arc_easy@validation:acc_norm"])
def test_lm_evals_names_may_say_which_split_items_come_from(text):
    source = TaskSource.parse(text)
    assert (source.kind, source.place, source.split) == ("lm_eval", "arc_easy", "validation")
    assert str(source) == text
