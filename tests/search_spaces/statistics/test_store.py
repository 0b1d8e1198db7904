from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from search_spaces.errors import SpaceError
from search_spaces.statistics.store import StatisticsStore


def test_tensors_written_one_by_one_are_those_of_an_ordinary_safetensors_file(tmp_path: Path) -> None:
    store = StatisticsStore(tmp_path)
    given = {"a": torch.randn(3, 3), "b": torch.randn(2, 4, 4).mT, "c": torch.arange(3, dtype=torch.float64)}
    with store.writing("digest", "gram", 6) as writer:
        for name, tensor in given.items():
            writer.add(name, tensor)
            assert not store.holds("digest", "gram")
        writer.shares.update({"q": "a", "k": "a", "stack": "b"})
        writer.input_first.add("stack")
    found = load_file(tmp_path / "digest" / "gram.safetensors")
    assert found.keys() == given.keys()
    assert all(found[name].equal(given[name]) and found[name].dtype == given[name].dtype for name in given)
    for name, key in {"q": "a", "k": "a", "stack": "b"}.items():
        tensor = store.tensor("digest", "gram", name)
        assert tensor is not None
        assert tensor.equal(given[key])
        assert store.key("digest", "gram", name) == key
        assert store.is_input_first("digest", "gram", name) == (name == "stack")
    assert store.tensor("digest", "gram", "norm") is None


def test_what_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    store = StatisticsStore(tmp_path)

    def interrupted() -> None:
        with store.writing("digest", "fisher", 1) as writer:
            writer.add("a", torch.zeros(2))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not store.holds("digest", "fisher")
    assert list((tmp_path / "digest").iterdir()) == []
    with pytest.raises(SpaceError, match="expected fisher of a parent"):
        store.tensor("digest", "fisher", "a")


def test_what_a_killed_process_left_goes_and_what_is_being_written_stays(tmp_path: Path) -> None:
    store = StatisticsStore(tmp_path)
    left = tmp_path / "digest" / "left.partial"
    with store.writing("digest", "fisher", 2) as writer:
        (mine,) = left.parent.glob("*.partial")
        left.write_bytes(b"half")
        for file in (mine, left):
            os.utime(file, (0, 0))
        store.write("digest", "gram", {"a": torch.zeros(2)}, {"a": "a"})
        assert list(left.parent.glob("*.partial")) == [mine]
        writer.add("a", torch.ones(2))
        writer.shares["a"] = "a"
    assert store.holds("digest", "fisher")
    assert store.holds("digest", "gram")
