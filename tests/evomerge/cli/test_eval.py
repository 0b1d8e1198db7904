"""`evomerge eval` and `evomerge lm-eval`: lm-eval's numbers for one checkpoint, from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from evomerge.cli.commands.models import _split
from tests.conftest import Family
from tests.evomerge.conftest import Outcome
from tests.fitness.conftest import arithmetic, texts, write_jsonl
from tests.fitness.tasks.test_lm_eval_tasks import CHOICE, GENERATE, write_task

Command = Callable[..., Outcome]
ACCURACIES = [{"metric": "acc"}, {"metric": "acc_norm"}]


@pytest.fixture
def choice(tmp_path: Path) -> Path:
    return write_task(tmp_path, "choice", **CHOICE, metric_list=ACCURACIES)


@pytest.fixture
def rolling(tmp_path: Path) -> Path:
    return write_task(
        tmp_path,
        "rolling",
        output_type="loglikelihood_rolling",
        doc_to_text="",
        doc_to_target="{{question}}",
        metric_list=[{"metric": "word_perplexity"}, {"metric": "bits_per_byte"}],
    )


def rows(done: Outcome) -> dict[tuple[str, str, str], dict[str, Any]]:
    assert done.code == 0, done.err
    return {(row["task"], row["metric"], row["filter"]): row for row in json.loads(done.out)["tasks"]}


def reference(family: Family, folder: Path, *paths: Path) -> Any:
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    return simple_evaluate(
        model=HFLM(pretrained=str(family.base), device="cpu", dtype="float32"),
        tasks=[str(path) for path in paths],
        task_manager=TaskManager(include_defaults=False, include_path=str(folder)),
        bootstrap_iters=1000,
    )


def test_eval_shows_every_metric_of_a_task_as_lm_eval_does(evomerge, family, tmp_path, choice, rolling):
    found = rows(evomerge("eval", family.base, "--tasks", choice, rolling, "--json"))
    theirs = reference(family, tmp_path, choice, rolling)
    assert {key[:2] for key in found} == {
        ("choice", "acc"),
        ("choice", "acc_norm"),
        ("rolling", "word_perplexity"),
        ("rolling", "bits_per_byte"),
    }
    for (task, metric, pipeline), row in found.items():
        expected = theirs["results"][task]
        assert row["value"] == pytest.approx(expected[f"{metric},{pipeline}"], rel=1e-5)
        stderr = expected[f"{metric}_stderr,{pipeline}"]
        assert row["stderr"] == (None if stderr == "N/A" else pytest.approx(stderr))
        assert row["higher_is_better"] == (task == "choice")
        samples = {f"{task}/{sample['doc_id']}": sample[metric] for sample in theirs["samples"][task]}
        assert row["items"].keys() == samples.keys()
        if task == "choice":
            assert row["items"] == samples


def test_eval_prints_lm_evals_own_table(evomerge, family, tmp_path, choice):
    from lm_eval.utils import make_table

    done = evomerge("eval", family.base, "--tasks", choice)
    assert done.out.strip() == make_table(reference(family, tmp_path, choice)).strip()


def test_every_filter_of_a_task_is_a_row(evomerge, family, tmp_path):
    filters = [{"name": name, "filter": [{"function": "take_first"}]} for name in ("one", "other")]
    task = write_task(tmp_path, **GENERATE, metric_list=[{"metric": "exact_match"}], filter_list=filters)
    found = rows(evomerge("eval", family.base, "--tasks", task, "--json"))
    assert set(found) == {("tiny", "exact_match", "one"), ("tiny", "exact_match", "other")}
    assert {len(row["items"]) for row in found.values()} == {12}


def test_one_metric_of_an_lm_eval_task_can_be_asked_for(evomerge, family, choice):
    found = rows(evomerge("eval", family.base, "--tasks", f"{choice}:acc_norm", "--json"))
    assert [key[1] for key in found] == ["acc_norm"]


def test_our_own_tasks_stand_in_the_same_table_in_the_usual_direction(evomerge, family, tmp_path, choice):
    own = write_jsonl(tmp_path / "own.jsonl", arithmetic(12))
    text = write_jsonl(tmp_path / "text.jsonl", texts(3))
    done = evomerge("eval", family.base, "--tasks", choice, own, text, "--json", "--out", tmp_path / "out.json")
    found = rows(done)
    assert json.loads((tmp_path / "out.json").read_text()) == json.loads(done.out)
    # The same documents, asked in the same words.
    assert found["own", "acc", "none"]["value"] == found["choice", "acc", "none"]["value"]
    bits = found["text", "bits_per_byte", "none"]
    assert bits["value"] > 0.0
    assert bits["higher_is_better"] is False
    assert bits["value"] == pytest.approx(sum(bits["items"].values()) / 3)
    table = evomerge("eval", family.base, "--tasks", choice, own, text).out
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:] if line.startswith("|")] == [
        "choice",
        "",
        "own",
        "text",
    ]


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        ("arc_easy:acc,words.jsonl", ["arc_easy:acc", "words.jsonl"]),
        (
            "gsm8k:exact_match,strict-match,words.jsonl:acc_norm",
            ["gsm8k:exact_match,strict-match", "words.jsonl:acc_norm"],
        ),
        ("a,b", ["a", "b"]),
        ("python:x.py:f,a", ["python:x.py:f", "a"]),
        ("gsm8k:exact_match,strict-match,arc_easy", ["gsm8k:exact_match,strict-match", "arc_easy"]),
    ],
)
def test_tasks_are_split_at_commas_but_not_at_those_of_filters(text, tasks):
    assert _split(text) == tasks


def test_a_limit_takes_the_first_items(evomerge, family, choice):
    found = rows(evomerge("eval", family.base, "--tasks", choice, "--limit", 5, "--json"))
    assert list(found["choice", "acc", "none"]["items"]) == [f"choice/{i}" for i in range(5)]


def test_the_scores_do_not_take_the_place_of_the_task(evomerge, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.jsonl").write_text("{}\n")
    for out in ("mine.jsonl", tmp_path / "mine.jsonl"):
        done = evomerge("eval", "none", "--tasks", "mine.jsonl:acc", "--out", out)
        assert (done.code, "is the file of a task" in done.err) == (2, True)
    assert (tmp_path / "mine.jsonl").read_text() == "{}\n"


def test_a_task_that_is_not_there_is_one_message(evomerge, family, tmp_path):
    done = evomerge("eval", family.base, "--tasks", tmp_path / "none.yaml")
    assert (done.code, done.err.strip()) == (1, f"{tmp_path}/none.yaml: expected an lm-eval task file, found none")


@pytest.mark.slow
def test_groups_are_summed_up(evomerge, family, tmp_path):
    for name in ("one", "two"):
        write_task(tmp_path, name, **CHOICE, metric_list=ACCURACIES)
    group = {"group": "both", "task": ["one", "two"], "aggregate_metric_list": [{"metric": "acc"}]}
    (tmp_path / "both.yaml").write_text(yaml.safe_dump(group))
    found = rows(evomerge("eval", family.base, "--tasks", tmp_path / "both.yaml", "--json"))
    assert found["both", "acc", "none"]["value"] == found["one", "acc", "none"]["value"]
    assert "|both" in evomerge("eval", family.base, "--tasks", tmp_path / "both.yaml").out


@pytest.mark.slow
def test_lm_evals_command_line_runs_the_engine_and_prints_its_table(evomerge, family, tmp_path, choice, rolling):
    def table(model: str) -> list[str]:
        arguments = f"pretrained={family.base},dtype=float32"
        done = evomerge(
            *("lm-eval", "run", "--model", model, "--model_args", arguments, "--device", "cpu"),
            *("--tasks", "choice,rolling", "--include_path", tmp_path),
        )
        assert done.code == 0, done.err
        return [line for line in done.out.splitlines() if line.startswith("|")]

    ours, theirs = table("evomerge"), table("hf")
    assert len(ours) == 6
    assert [line for line in ours if "acc" in line] == [line for line in theirs if "acc" in line]


def test_lm_evals_help_is_lm_evals(evomerge):
    done = evomerge("lm-eval", "--help")
    assert done.code == 0
    assert done.out.startswith("usage: lm-eval")
    assert "--include_path" in evomerge("lm-eval", "run", "--help").out
