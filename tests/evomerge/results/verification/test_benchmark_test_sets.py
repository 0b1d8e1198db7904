"""A campaign on a benchmark's own test set, from its refusal to the card that owns up to it."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import datasets
import huggingface_hub
import pytest
import yaml

from tests.evomerge.conftest import Outcome

Command = Callable[..., Outcome]


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An lm-eval task on a test set that a server publishes."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)  # the server is on this machine
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    lines = [{"question": f"{i} and", "choices": [str(i), str(i + 1)], "gold": i % 2} for i in range(20)]
    (tmp_path / "published.json").write_text("\n".join(map(json.dumps, lines)))
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    task = {
        "task": "quiz",
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {"test": f"http://127.0.0.1:{server.server_port}/published.json"},
            "cache_dir": str(tmp_path / "cache"),
        },
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "gold",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    path = tmp_path / "quiz.yaml"
    path.write_text(yaml.safe_dump(task))
    yield path
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_benchmarks_own_test_set_is_refused_until_it_is_allowed_and_the_card_says_so(
    evomerge: Command, campaign_file: Callable[..., Path], tmp_path: Path, benchmark: Path
) -> None:
    objectives = [{"name": "quiz", "tasks": [benchmark.name]}]
    options = {"objectives": objectives, "budget": {"evaluations": 6}, "optimiser": {"kind": "random"}}
    path, run = campaign_file(**options), tmp_path / "run"
    for refused in (evomerge("run", path, "--run-dir", run), evomerge("plan", path)):
        assert refused.code == 1
        assert "quiz.yaml': expected items that are no benchmark's own test set, found split 'test'" in refused.err
        assert "allow_benchmark_test_sets: true" in refused.err
    campaign_file(**options, allow_benchmark_test_sets=True)
    assert "a benchmark's own test set" in " ".join(evomerge("plan", path).out.split())
    assert evomerge("run", path, "--run-dir", run).code == 0
    assert evomerge("export", run, "--pick", "best", "--out", tmp_path / "out").code == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert "searched on items of a benchmark's own test set" in card
    assert "quiz.yaml: split 'test'" in card
