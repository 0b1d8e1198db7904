"""Whole tasks of every shape: lm-eval's evaluator with the engine against the same with its own backend."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from fitness.engine.lm_eval.lm_eval_backend import EngineLM
from tests.fitness.engine.architectures import CONFIGS, CONTEXT, byte_level_tokenizer, tiny_model
from tests.fitness.engine.lm_eval.test_parity_requests import ENGINES, HEADER

N_ITEMS = 8
FAST = ("llama", "mistral", "gpt2")  # rotary positions, a sliding window, learned positions
WORDS = ["fox", "dog", "sheep", "capital", "France", "Paris", "question", "answer", "quick", "brown", "lazy", "black"]
UNICODE = ["日本", "語のテ", "🙂", "🙂🙃", "👩‍🚀", "ça va", "naïve", "e\u0301", "é", "Привет", "мир!", "Überraschung"]
ACCURACIES = [{"metric": "acc"}, {"metric": "acc_norm"}]
CHOICE = {"output_type": "multiple_choice", "doc_to_text": "{{question}}", "doc_to_choice": "{{choices}}"}


def items(words: list[str], question: str, per_item: int = 4) -> list[dict[str, Any]]:
    return [
        {
            "question": question.format(words[i % len(words)]),
            "choices": [words[(5 * i + 3 * k) % len(words)] for k in range(per_item)],
            "answer": i % per_item,
        }
        for i in range(N_ITEMS)
    ]


def prefixes() -> list[dict[str, Any]]:
    growing = ["the lazy dog sleeps and"[:n] for n in (3, 8, 12, 22)]
    return [{"question": f"{word} is", "choices": growing, "answer": i % 4} for i, word in enumerate(WORDS[:N_ITEMS])]


SHAPES: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "single-token choices": (
        {**CHOICE, "target_delimiter": ""},
        items(list("ABCD"), HEADER + "Which of them, {}?\nAnswer:"),
    ),
    "multi-token choices": (CHOICE, items(WORDS, HEADER + "What is the {}?\nAnswer:")),
    "empty context": ({**CHOICE, "doc_to_text": ""}, items(WORDS, "{}")),
    "prefix longer than the context window": (CHOICE, items(WORDS, HEADER * 4 + "What is the {}?\nAnswer:")),
    "unicode": (CHOICE, items(UNICODE, "Où est {} 日本?")),
    "choices that are prefixes of one another": (CHOICE, prefixes()),
    "few-shot": ({**CHOICE, "num_fewshot": 2, "fewshot_split": "test"}, items(WORDS, "{}:")),
    "generation": (
        {
            "output_type": "generate_until",
            "doc_to_text": "{{question}}",
            "generation_kwargs": {"until": ["\n", "e"], "max_gen_toks": 10},
            "metric_list": [{"metric": "exact_match", "regexes_to_ignore": ["[^a-m]"]}],
        },
        items(WORDS, HEADER + "What is the {}?\nAnswer:"),
    ),
    "rolling": (
        {
            "output_type": "loglikelihood_rolling",
            "doc_to_text": "",
            "doc_to_target": "{{question}}",
            "metric_list": [{"metric": m} for m in ("word_perplexity", "byte_perplexity", "bits_per_byte")],
        },
        [{"question": HEADER * n + word, "answer": 0} for n, word in enumerate(WORDS[:6])],
    ),
}
PERPLEXITIES = ("word_perplexity", "byte_perplexity", "bits_per_byte")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("tasks")
    paths = [write_task(folder, name, *shape) for name, shape in SHAPES.items()]
    manager = TaskManager(include_defaults=False, include_path=str(folder))
    loaded: dict[str, Any] = manager.load([str(path) for path in paths])
    return loaded


def results_of(lm: Any, tasks: dict[str, Any]) -> Any:
    for task in tasks["tasks"].values():
        task.set_fewshot_seed(seed=1234)
    return evaluate(lm, tasks, bootstrap_iters=0)


def write_task(folder: Path, name: str, config: dict[str, Any], documents: list[dict[str, Any]]) -> Path:
    data = folder / f"{name}.json"
    data.write_text("".join(json.dumps(document) + "\n" for document in documents))
    generates = config["output_type"] == "generate_until"
    path = folder / f"{name}.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "task": name,
                "dataset_path": "json",
                "dataset_kwargs": {"data_files": {"test": str(data)}, "cache_dir": str(folder / "cache")},
                "test_split": "test",
                "doc_to_target": "{{choices[answer]}}" if generates else "answer",
                "metric_list": ACCURACIES,
                **config,
            }
        )
    )
    return path


@cache
def model_and_tokenizer(architecture: str) -> tuple[Any, Any]:
    tokenizer = byte_level_tokenizer()
    return tiny_model(architecture, tokenizer), tokenizer


@pytest.fixture(scope="module")
def reference(tasks: dict[str, Any]) -> Any:
    @cache
    def results(architecture: str) -> Any:
        model, tokenizer = model_and_tokenizer(architecture)
        return results_of(HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1), tasks)

    return results


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "architecture", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in CONFIGS]
)
def test_every_metric_of_every_shape_is_lm_evals(architecture, engine, tasks, reference):
    theirs = reference(architecture)
    ours = results_of(EngineLM(*model_and_tokenizer(architecture), engine=ENGINES[engine]), tasks)
    assert ours["results"].keys() == theirs["results"].keys() == SHAPES.keys()
    for name, expected in theirs["results"].items():
        for key, value in expected.items():
            found = ours["results"][name][key]
            if key.split(",")[0] in PERPLEXITIES:  # float32 rounds a log-likelihood's last digits
                assert math.log(found) == pytest.approx(math.log(value), rel=1e-6), (name, key)
            else:
                assert found == value, (name, key)
        for mine, their in zip(ours["samples"][name], theirs["samples"][name], strict=True):
            assert mine["arguments"] == their["arguments"]
            if SHAPES[name][0]["output_type"] == "multiple_choice":
                assert best_choice(mine) == best_choice(their)


def best_choice(sample: dict[str, Any]) -> int:
    likelihoods = [value for value, _ in sample["filtered_resps"]]
    return likelihoods.index(max(likelihoods))


def test_the_shapes_have_something_to_tell(tasks, reference):
    results = reference("llama")["results"]
    tokenizer = model_and_tokenizer("llama")[1]
    accuracies = [v for task in results.values() for k, v in task.items() if k in ("acc,none", "exact_match,none")]
    assert any(0.0 < accuracy < 1.0 for accuracy in accuracies)
    assert {len(tokenizer.encode(letter)) for letter in "ABCD"} == {1}
    first = SHAPES["prefix longer than the context window"][1][0]
    assert len(tokenizer.encode(first["question"])) > CONTEXT
