"""The digits experiment runs from its command line, and (slow) reproduces the released figures."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from experiments.m2n2_digits.__main__ import main
from experiments.m2n2_digits.network import Network, halves, load, new_networks
from experiments.m2n2_digits.runs import METHODS, run


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run_main(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["m2n2_digits", *arguments])
        main()
        return capsys.readouterr().out

    return run_main


def test_the_digits_are_split_in_their_order() -> None:
    train, test = load()
    assert (train.images.shape, test.images.shape) == ((1437, 65), (360, 65))
    assert train.labels[:10].tolist() == list(range(10))
    assert float(train.images.max()) == 16.0


def test_the_network_is_the_released_one() -> None:
    network = Network(seed=0)
    assert sum(parameter.numel() for parameter in network.parameters()) == 19_210
    images = torch.cat([torch.rand(7, 64), torch.ones(7, 1)], dim=1)
    hidden = torch.relu(images[:, :64] @ network.hidden[:64] + network.hidden[64])
    expected = hidden @ network.output_weight + network.output_bias
    assert torch.allclose(network(images), expected, atol=1e-6)


def test_a_half_knows_its_own_digits_and_no_others() -> None:
    train, _ = load()
    for network, known, unknown in zip(
        halves(0, train), (range(5), range(5, 10)), (range(5, 10), range(5)), strict=True
    ):
        assert float(network.correct(train.of(known)).mean()) > 0.85
        assert float(network.correct(train.of(unknown)).mean()) < 0.05


def test_what_is_correct_is_the_highest_of_the_logits() -> None:
    train, _ = load()
    for network in halves(0, train):
        with torch.no_grad():
            expected = network(train.images).argmax(dim=1) == train.labels
        assert network.correct(train).tolist() == expected.tolist()


def test_new_networks_differ_from_each_other_and_by_seed() -> None:
    first, second = new_networks(0)
    assert not torch.equal(first.hidden, second.hidden)
    assert not torch.equal(first.hidden, new_networks(1)[0].hidden)
    assert torch.equal(first.hidden, new_networks(0)[0].hidden)


@pytest.mark.parametrize("start", ["scratch", "pretrained"])
def test_json_has_one_entry_per_run(call: Callable[..., str], start: str) -> None:
    printed = json.loads(call("--start", start, "--seeds", "1", "2", "--evaluations", "30", "--json"))
    assert [run["seed"] for run in printed["runs"]] == [1, 2]
    assert all(0 <= run["test_accuracy"] <= 1 and run["evaluations_per_second"] > 0 for run in printed["runs"])


def test_without_json_there_is_a_table_and_a_drawing(call: Callable[..., str], tmp_path: Path) -> None:
    out = tmp_path / "curves.png"
    printed = call("--method", *METHODS, "--seeds", "1", "2", "--evaluations", "25", "--png", str(out))
    assert all(method in printed for method in METHODS)
    assert out.read_bytes().startswith(b"\x89PNG")


def test_a_run_is_repeated_by_its_seed() -> None:
    one, again, other = (run("pretrained", "m2n2", seed, 120) for seed in (1, 1, 2))
    assert one.curve == again.curve
    assert one.curve != other.curve
    assert [evaluations for evaluations, _ in one.curve] == [100, 120]


@pytest.mark.slow
def test_pretrained_halves_are_joined_as_well_as_in_the_release() -> None:
    accuracies = {
        method: sum(run("pretrained", method, seed, 10_000).test_accuracy for seed in (1, 2)) / 2 for method in METHODS
    }
    assert accuracies["m2n2"] >= 0.68
    # Two seeds do not tell the two methods below apart; five do (experiments/m2n2_digits/README.md).
    assert accuracies["m2n2"] > max(accuracies["no_split"], accuracies["ga"])


@pytest.mark.slow
def test_from_scratch_a_network_learns_to_read() -> None:
    assert run("scratch", "m2n2", 1, 50_000).test_accuracy >= 0.84
