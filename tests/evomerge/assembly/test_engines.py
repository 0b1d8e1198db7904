"""Which engine runs the candidates of a campaign, and what is said where it cannot be the one that was asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evomerge.assembly import build_parts, engines, settled
from evomerge.assembly.engines import engine_in_words, engine_of
from evomerge.assembly.parts import Parts
from evomerge.config import ConfigError, load_campaign
from evomerge.errors import MissingExtraError
from evomerge.workers.protocol import WorkerSetupError


@pytest.fixture
def parts(campaign_file: Callable[..., Path], tmp_path: Path) -> Callable[..., Parts]:
    lines = [json.dumps({"prompt": f"{i}:", "answer": "ab"[i % 2]}) for i in range(20)]
    (tmp_path / "written.jsonl").write_text("\n".join(lines) + "\n")

    def build(*tasks: str, **sections: object) -> Parts:
        objectives = [{"name": task, "tasks": [f"{task}.jsonl"]} for task in tasks]
        return build_parts(settled(load_campaign(campaign_file(objectives=objectives, **sections))))

    return build


@pytest.fixture
def on_a_gpu_with_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine look like one with a GPU, where vLLM is installed."""
    monkeypatch.setattr(engines, "gpus_each", lambda config: float(config.workers.gpus != 0))
    monkeypatch.setattr(engines, "is_installed", lambda library: True)
    monkeypatch.setattr(engines, "require", lambda library, extra: None)


def test_on_a_cpu_the_engine_is_the_plain_one(parts: Callable[..., Parts]) -> None:
    assert engine_of(parts("written")) == "trie"
    assert engine_in_words(parts("written")) == ""


@pytest.mark.usefixtures("on_a_gpu_with_vllm")
def test_on_a_gpu_auto_is_vllm_where_every_task_asks_for_completions_only(parts: Callable[..., Parts]) -> None:
    assert engine_of(parts("written")) == "vllm"
    assert engine_of(parts("written", "sums")) == "trie"
    assert engine_of(parts("written", workers={"gpus": 0})) == "trie"
    assert engine_of(parts("written", engine={"kind": "trie"})) == "trie"
    assert engine_of(parts("written", space={"kind": "layer_flow"})) == "trie"
    assert engine_of(parts("written", schedule={"kind": "screen", "prompts": 4})) == "trie"


@pytest.mark.usefixtures("on_a_gpu_with_vllm")
def test_plan_says_what_vllm_does_and_who_answers_the_rest(parts: Callable[..., Parts]) -> None:
    asked = {"kind": "vllm"}
    assert engine_in_words(parts("written", engine=asked)) == (
        "vLLM writes completions on one device a worker, merges are made inside of it"
    )
    assert engine_in_words(parts("written", "sums", engine=asked)).endswith("own engine on the same weights")
    several = {"kind": "vllm", "vllm": {"tensor_parallel": 2, "pipeline_parallel": 2}}
    assert engine_in_words(parts("written", "sums", engine=several)) == (
        "vLLM writes completions on 4 devices a worker, merges are made inside of it; log-likelihoods are vLLM's, too"
    )


def test_vllm_that_is_not_installed_is_named_with_the_command(
    parts: Callable[..., Parts], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evomerge.errors.is_installed", lambda library: False)
    with pytest.raises(MissingExtraError, match=r"pip install 'evomerge\[vllm\]'"):
        engine_of(parts("written", engine={"kind": "vllm"}))


@pytest.mark.usefixtures("on_a_gpu_with_vllm")
@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"schedule": {"kind": "screen", "prompts": 4}}, "tasks of completions and log-likelihoods for a model on 2"),
        ({"workers": {"gpus": 1}}, "workers.gpus: expected 2"),
        ({"engine": {"kind": "vllm", "vllm": {"tensor_parallel": 2, "across_nodes": True}}}, "across_nodes: expected"),
    ],
)
def test_what_vllm_cannot_do_on_several_devices_is_refused(
    parts: Callable[..., Parts], sections: dict[str, object], words: str
) -> None:
    with pytest.raises(WorkerSetupError, match=words):
        engine_of(parts("written", **{"engine": {"kind": "vllm", "vllm": {"tensor_parallel": 2}}, **sections}))


def test_a_space_of_layers_is_refused_when_the_file_is_read(campaign_file: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match=r"engine\.kind: expected auto or trie with a space of layers") as refused:
        load_campaign(campaign_file(space={"kind": "layer_flow"}, engine={"kind": "vllm"}))
    assert len(str(refused.value).splitlines()) <= 5
