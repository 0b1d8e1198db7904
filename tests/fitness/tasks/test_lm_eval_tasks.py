"""Our item scores against lm-eval's own evaluation of the same task with its own Hugging Face backend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from lm_eval.evaluator import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from scipy.special import softmax
from transformers import AutoTokenizer

from fitness.engine.language_model import NextTokens
from fitness.engine.trie import TrieLanguageModel
from fitness.errors import FitnessError
from fitness.tasks.divergence import DivergenceTask
from fitness.tasks.lm_eval_tasks import LMEvalOptions, load_lm_eval_tasks
from fitness.tasks.sources import TaskContext, load_tasks
from fitness.tasks.suite import evaluate_tasks
from tests.conftest import Family
from tests.fitness.conftest import arithmetic, write_jsonl

CHOICE: dict[str, Any] = {
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "gold",
}
GENERATE: dict[str, Any] = {
    "output_type": "generate_until",
    "doc_to_text": "{{question}}",
    "doc_to_target": "{{'hak'[gold]}}",
    "generation_kwargs": {"until": ["7", "\n"], "max_gen_toks": 12, "do_sample": False, "temperature": 0.0},
}
FIRST_LETTER = [
    {
        "name": "first letter",
        "filter": [{"function": "regex", "regex_pattern": "([a-z])"}, {"function": "take_first"}],
    },
    {"name": "all", "filter": [{"function": "take_first"}]},
]
MEAN = {"aggregation": "mean", "higher_is_better": True}


def write_task(folder: Path, name: str = "tiny", **config: Any) -> Path:
    data = write_jsonl(folder / f"{name}_data.json", arithmetic(12))
    config = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}, "cache_dir": str(folder / "cache")},
        "test_split": "test",
        **config,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


TASKS = {
    "multiple choice": {**CHOICE, "metric_list": [{"metric": "acc", **MEAN}]},
    "length-normalised": {**CHOICE, "metric_list": [{"metric": "acc_norm", **MEAN}, {"metric": "acc", **MEAN}]},
    "few-shot": {
        **CHOICE,
        "num_fewshot": 2,
        "fewshot_split": "test",
        "doc_to_text": "{{question[:12]}}",
        "metric_list": [{"metric": "acc", **MEAN}],
    },
    "mutual information": {**CHOICE, "metric_list": [{"metric": "acc_mutual_info", **MEAN}]},
    "log-likelihood": {
        "output_type": "loglikelihood",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{'2h9'[gold]}}",
        "metric_list": [{"metric": "acc", **MEAN}],
    },
    "generation": {
        **GENERATE,
        "metric_list": [{"metric": "exact_match", **MEAN, "regexes_to_ignore": ["!"]}],
        "filter_list": FIRST_LETTER,
    },
    "lower is better": {
        **GENERATE,
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": False}],
        "filter_list": FIRST_LETTER,
    },
}


@pytest.mark.parametrize("kind", TASKS)
def test_item_scores_are_lm_evals(kind, model, tokenizer, family: Family, tmp_path):
    path = write_task(tmp_path, **TASKS[kind])
    (task,) = load_tasks([str(path)])[str(path)]
    (result,) = evaluate_tasks(model, [task], language_model=TrieLanguageModel(tokenizer))
    reference = simple_evaluate(
        model=HFLM(pretrained=model, tokenizer=AutoTokenizer.from_pretrained(family.base), batch_size=1),
        tasks=[str(path)],
        task_manager=TaskManager(include_defaults=False, include_path=str(tmp_path)),
        bootstrap_iters=0,
    )
    metric = result.metric.removeprefix("-")
    samples = [s for s in reference["samples"]["tiny"] if s["filter"] == reference["samples"]["tiny"][0]["filter"]]
    sign = -1 if result.metric.startswith("-") else 1
    assert dict(zip(result.scores.item_ids, result.scores.values.tolist(), strict=True)) == {
        f"tiny/{sample['doc_id']}": sign * float(sample[metric]) for sample in samples
    }
    assert len(set(result.scores.values)) == 2
    pipeline = samples[0]["filter"]
    assert result.value == pytest.approx(sign * reference["results"]["tiny"][f"{metric},{pipeline}"])
    assert (result.metric.startswith("-")) == (kind == "lower is better")


def test_texts_are_scored_by_minus_their_bits_per_byte(model, tokenizer, family, tmp_path):
    path = write_task(
        tmp_path,
        output_type="loglikelihood_rolling",
        doc_to_text="",
        doc_to_target="{{question}}",
        metric_list=[{"metric": "word_perplexity"}, {"metric": "bits_per_byte"}],
    )
    (task,) = load_lm_eval_tasks(path)
    (result,) = evaluate_tasks(model, [task], language_model=TrieLanguageModel(tokenizer))
    own = write_jsonl(tmp_path / "own.jsonl", [{"text": line["question"]} for line in arithmetic(12)])
    (expected,) = evaluate_tasks(model, load_tasks([str(own)])[str(own)], language_model=TrieLanguageModel(tokenizer))
    assert result.metric == expected.metric == "-bits_per_byte"
    assert result.scores.values == pytest.approx(expected.scores.values)


def test_a_metric_and_a_filter_can_be_asked_for(tmp_path):
    path = write_task(tmp_path, **TASKS["generation"])
    (task,) = load_tasks([f"{path.name}:exact_match,all"], TaskContext(tmp_path))[f"{path.name}:exact_match,all"]
    assert task.metric == "exact_match"
    assert task.score("0", ["h"]) == 1.0
    assert task.score("0", ["h and more"]) == 0.0
    (by_default,) = load_lm_eval_tasks(path)
    assert by_default.score("0", ["h and more"]) == 1.0
    with pytest.raises(FitnessError, match=r"filter 'some': expected one of \['first letter', 'all'\]"):
        load_lm_eval_tasks(path, metric="exact_match,some")


@pytest.mark.parametrize(
    ("metrics", "asked", "message"),
    [
        (["perplexity"], None, r"metric \['perplexity'\]: expected a metric that is a mean over items"),
        (["acc", "perplexity"], "perplexity", "found one of another kind; use tiny:acc"),
        (["acc"], "ac", "found none such; use tiny:acc"),
    ],
)
def test_a_metric_that_is_no_mean_over_items_is_refused(tmp_path, metrics, asked, message):
    listed = [
        {"metric": m, "aggregation": "mean" if m == "acc" else m, "higher_is_better": m == "acc"} for m in metrics
    ]
    path = write_task(tmp_path, **{**TASKS["log-likelihood"], "metric_list": listed})
    with pytest.raises(FitnessError, match=message):
        load_lm_eval_tasks(path, metric=asked)


def test_the_first_metric_that_is_a_mean_over_items_is_taken(tmp_path):
    listed = [
        {"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False},
        {"metric": "acc", **MEAN},
    ]
    (task,) = load_lm_eval_tasks(write_task(tmp_path, **{**TASKS["log-likelihood"], "metric_list": listed}))
    assert task.metric == "acc"


SAMPLED = {"until": ["\n"], "max_gen_toks": 12, "do_sample": True, "temperature": 0.8, "top_p": 0.9}


def load_generation(tmp_path: Path, **options: Any) -> Any:
    options = {"metric_list": [{"metric": "exact_match", **MEAN}], "filter_list": FIRST_LETTER, **options}
    (task,) = load_lm_eval_tasks(write_task(tmp_path, **{**GENERATE, **options}))
    return task


def test_sampled_completions_have_a_seed_for_every_repeat_of_every_item(tmp_path):
    task = load_generation(tmp_path, generation_kwargs=SAMPLED, repeats=3)
    requests = [request for item in task.item_ids for request in task.requests(item)]
    assert len(requests) == 12 * 3
    assert len({request.sampling.seed for request in requests}) == 12 * 3
    assert {(r.sampling.temperature, r.sampling.top_k, r.sampling.top_p) for r in requests} == {(0.8, 50, 0.9)}


def test_repeats_reach_the_filters_in_their_order(tmp_path):
    majority = [{"name": "vote", "filter": [{"function": "majority_vote"}, {"function": "take_first"}]}]
    task = load_generation(tmp_path, generation_kwargs=SAMPLED, repeats=3, filter_list=majority)
    assert task.score("0", ["h", "a", "h"]) == 1.0
    assert task.score("0", ["a", "a", "h"]) == 0.0


def test_greedy_repeats_ask_the_same(tmp_path):
    task = load_generation(tmp_path, repeats=2)
    first, second = task.requests("0")
    assert first == second
    assert first.sampling is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"do_sample": True}, "temperature above 0"),
        ({"num_beams": 4}, "num_beams=4"),
        ({"repetition_penalty": 1.3}, "repetition_penalty=1.3"),
    ],
)
def test_options_that_the_engine_does_not_have_name_the_task(tmp_path, options, message):
    with pytest.raises(FitnessError, match=f"task 'tiny': generation_kwargs: .*{message}"):
        load_generation(tmp_path, generation_kwargs={"until": [], **options})


def choice_scores(path: Path, metric: str, model: Any, tokenizer: Any) -> dict[str, float]:
    (task,) = load_lm_eval_tasks(path, metric=metric)
    (result,) = evaluate_tasks(model, [task], language_model=TrieLanguageModel(tokenizer))
    assert task.name == f"tiny:{metric}"
    assert result.metric.removeprefix("-") == metric
    local_ids = [item.partition("/")[2] for item in result.scores.item_ids]
    return dict(zip(local_ids, result.scores.values, strict=True))


@pytest.mark.parametrize("kind", ["index", "text", "several", "inputs", "mutual information"])
def test_our_metrics_use_lm_evals_choices_and_targets(kind, model, tokenizer, family: Family, tmp_path):
    listed = {"metric_list": [{"metric": "acc", **MEAN}, {"metric": "acc_norm", **MEAN}]}
    variants: dict[str, dict[str, Any]] = {
        "index": {},
        "text": {
            "doc_to_choice": "{{['is ' ~ choices[0], 'is ' ~ choices[1], 'is ' ~ choices[2]]}}",
            "doc_to_target": "{{'is ' ~ choices[gold]}}",
        },
        "several": {"doc_to_target": "{{[gold, (gold + 1) % 3]}}"},
        "inputs": {
            "doc_to_text": "{{gold}}",
            "doc_to_target": "so it is.",
            "doc_to_choice": "{{[question, question[:11], question[12:]]}}",
        },
        "mutual information": {"metric_list": [{"metric": "acc_mutual_info", **MEAN}]},
    }
    path = write_task(tmp_path, **{**CHOICE, **listed, **variants[kind]})
    margins, entropies = (choice_scores(path, metric, model, tokenizer) for metric in ("margin", "entropy"))
    reference = simple_evaluate(
        model=HFLM(pretrained=model, tokenizer=AutoTokenizer.from_pretrained(family.base), batch_size=1),
        tasks=[str(path)],
        task_manager=TaskManager(include_defaults=False, include_path=str(tmp_path)),
        bootstrap_iters=0,
    )
    for sample in reference["samples"]["tiny"]:
        values = [response[0] for response in sample["filtered_resps"]][:3]
        gold = sample["doc"]["gold"]
        right = [gold, (gold + 1) % 3] if kind == "several" else [gold]
        margin = max(values[i] for i in right) - max(values[i] for i in range(3) if i not in right)
        p = softmax(values)
        assert margins[str(sample["doc_id"])] == pytest.approx(margin, abs=1e-4)
        assert entropies[str(sample["doc_id"])] == pytest.approx(float((p * np.log(p)).sum()), abs=1e-4)
        if kind != "mutual information" and margin:  # two choices of one question may be the same
            assert (margin > 0) == bool(sample["acc"])


@pytest.mark.parametrize(("target", "n"), [("{{gold + 2}}", 0), ("{{[0, 1, 2]}}", 3)])
def test_a_margin_needs_a_right_and_a_wrong_choice(target, n, tmp_path):
    path = write_task(tmp_path, **{**CHOICE, "doc_to_target": target, "metric_list": [{"metric": "acc", **MEAN}]})
    with pytest.raises(FitnessError, match=rf"'tiny/\d+': margin needs a right and a wrong choice, found {n} right"):
        load_lm_eval_tasks(path, metric="margin")
    load_lm_eval_tasks(path, metric="entropy")


@pytest.mark.parametrize("metric", ["acc_norm", "acc_bytes"])
def test_a_metric_that_the_task_does_not_list_is_computed_as_lm_eval_does(metric, model, tokenizer, tmp_path):
    path = write_task(tmp_path, **{**CHOICE, "metric_list": [{"metric": "acc", **MEAN}]})
    ours = choice_scores(path, metric, model, tokenizer)
    path = write_task(tmp_path, **{**CHOICE, "metric_list": [{"metric": metric, **MEAN}]})
    assert ours == choice_scores(path, metric, model, tokenizer)
    assert set(ours.values()) == {0.0, 1.0}


def test_our_metrics_are_for_multiple_choice_and_have_no_filter(tmp_path):
    path = write_task(tmp_path, **TASKS["generation"])
    with pytest.raises(FitnessError, match="metric 'margin': expected a metric that is a mean"):
        load_lm_eval_tasks(path, metric="margin")
    path = write_task(tmp_path, **TASKS["multiple choice"])
    with pytest.raises(FitnessError, match="metric 'margin': expected no filter, found 'none'"):
        load_lm_eval_tasks(path, metric="margin,none")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("multiple choice", [NextTokens("question 0: 0 + 0 =")]),
        ("mutual information", [NextTokens("question 0: 0 + 0 =")]),
        ("generation", [NextTokens("question 0: 0 + 0 =")]),
    ],
)
def test_divergence_is_measured_where_the_answer_begins(kind, expected, tmp_path):
    options = LMEvalOptions(expert="e")
    path = write_task(tmp_path, **TASKS[kind])
    (task,) = load_lm_eval_tasks(path, metric="js_divergence", options=options)
    assert isinstance(task, DivergenceTask)
    assert (task.name, task.expert, task.metric) == ("tiny:js_divergence", "e", "-js_divergence")
    assert list(task.requests("0")) == expected


def test_what_a_document_says_and_how_it_is_scored_is_in_its_items_text(tmp_path):
    def texts(folder: str, **config: Any) -> list[str]:
        (tmp_path / folder).mkdir()
        [task] = load_lm_eval_tasks(write_task(tmp_path / folder, **{**CHOICE, **config}))
        return [task.item_text(item) for item in task.item_ids]

    accuracy = [{"metric": "acc", **MEAN}]
    first = texts("first", metric_list=accuracy)
    assert len(set(first)) == len(first) == 12
    assert texts("again", metric_list=accuracy) == first
    for other in ({"metric_list": [{"metric": "acc_norm", **MEAN}]}, {"doc_to_text": "Q: {{question}}"}):
        assert not set(first) & set(texts(str(len(str(other))), **{"metric_list": accuracy, **other}))


def test_a_task_that_runs_generated_code_is_refused(tmp_path):
    path = write_task(tmp_path, **TASKS["generation"], unsafe_code=True)
    with pytest.raises(FitnessError, match="task 'tiny': expected a task that runs no code"):
        load_lm_eval_tasks(path)


def test_loading_draws_no_progress_bars(tmp_path, capfd):
    load_lm_eval_tasks(write_task(tmp_path, **TASKS["multiple choice"]))
    assert "it/s" not in capfd.readouterr().err


@pytest.mark.slow
def test_a_group_gives_its_tasks(tmp_path):
    for name in ("one", "two"):
        write_task(tmp_path, name, **TASKS["multiple choice"])
    (tmp_path / "both.yaml").write_text(yaml.safe_dump({"group": "both", "task": ["one", "two"]}))
    assert [task.name for task in load_lm_eval_tasks(tmp_path / "both.yaml")] == ["one", "two"]


@pytest.mark.parametrize(
    "content",
    ["task: [", "just text", "task: tiny\noutput_type: nonsense\n", "{}"],
)
def test_a_broken_task_file_is_one_message(tmp_path, content):
    path = tmp_path / "tiny.yaml"
    path.write_text(content)
    with pytest.raises(FitnessError, match="tiny"):
        load_lm_eval_tasks(path)


def test_a_document_that_the_metric_cannot_digest_names_the_item(tmp_path):
    (tmp_path / "own.py").write_text("def results(doc, responses):\n    raise ZeroDivisionError('oh')\n")
    path = write_task(tmp_path, **TASKS["multiple choice"])
    path.write_text(path.read_text() + "process_results: !function own.results\n")
    (task,) = load_lm_eval_tasks(path)
    with pytest.raises(FitnessError, match="task 'tiny/3': lm-eval cannot use it: ZeroDivisionError: oh"):
        task.score("3", ["", "", ""])


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FitnessError, match=r"none\.yaml: expected an lm-eval task file, found none"):
        load_tasks(["none.yaml"], TaskContext(tmp_path))
    (tmp_path / "data.txt").write_text(json.dumps({}))
    with pytest.raises(FitnessError, match=r"expected a file ending in \.jsonl, .* or \.yaml.*data\.txt"):
        load_tasks(["data.txt"], TaskContext(tmp_path))
    with pytest.raises(FitnessError, match="found no such file"):
        load_tasks(["folder/data"], TaskContext(tmp_path))


@pytest.mark.slow
def test_an_unknown_task_name_gets_the_nearest_ones():
    with pytest.raises(FitnessError, match=r"'arc_esy': expected the name of an lm-eval task.*did you mean arc_easy"):
        load_lm_eval_tasks("arc_esy")


def test_a_sampled_task_scores_the_same_every_time(model, tokenizer, tmp_path):
    task = load_generation(tmp_path, generation_kwargs={**SAMPLED, "temperature": 3.0, "max_gen_toks": 4}, repeats=4)
    engine = TrieLanguageModel(tokenizer)
    first, second = (engine.plan(task.requests("0")).answer(model) for _ in range(2))
    assert first == second
    assert len(set(first)) > 1
    (result,) = evaluate_tasks(model, [task], language_model=engine)
    (again,) = evaluate_tasks(model, [task], language_model=TrieLanguageModel(tokenizer))
    assert result.scores == again.scores
