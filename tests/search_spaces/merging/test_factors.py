from __future__ import annotations

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.layers.architecture import build_module
from search_spaces.layers.sources import output_names
from search_spaces.live.resident import ResidentModel
from search_spaces.merging.factors import FactorCache, full_bytes
from search_spaces.merging.materialise import merged_tensor
from search_spaces.merging.memory import MergeMemory
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import Recipe
from search_spaces.recipes.rule import Input, Rule
from tests.conftest import Family
from tests.search_spaces.merging.recipes import opened

Read = list[tuple[tuple[str, ...], Tensor]]


class Computation:
    """Doubles a tensor, and counts how often."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor, self.count = tensor, 0

    def __call__(self) -> tuple[Tensor, ...]:
        self.count += 1
        return (self.tensor * 2).T, torch.tensor([3, 4])


@pytest.fixture
def tensor() -> Tensor:
    return torch.randn(5, 7, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def compute(tensor: Tensor) -> Computation:
    return Computation(tensor)


def files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def test_what_was_computed_is_found_again_by_another_process(
    tmp_path: Path, tensor: Tensor, compute: Computation
) -> None:
    first, again = (FactorCache(tmp_path).recall("x", [(("a",), tensor)], compute) for _ in range(2))
    assert compute.count == 1
    assert all(a.equal(b) and a.dtype == b.dtype for a, b in zip(first, again, strict=True))
    assert first[0].equal(tensor.T * 2)


def test_tensors_lie_in_memory_alike_whether_computed_or_found(
    tmp_path: Path, tensor: Tensor, compute: Computation
) -> None:
    first, again = (FactorCache(tmp_path).recall("x", [(("a",), tensor)], compute) for _ in range(2))
    assert [part.stride() for part in first] == [part.stride() for part in again]
    assert all(part.data_ptr() % 64 == 0 for part in again)


def test_names_of_parents_do_not_matter_but_their_contents_do(
    tmp_path: Path, tensor: Tensor, compute: Computation
) -> None:
    FactorCache(tmp_path).recall("x", [(("a",), tensor)], compute)
    FactorCache(tmp_path).recall("x", [(("b",), tensor.clone())], compute)
    assert compute.count == 1
    changed = tensor.clone()
    changed[4, 6] += 1e-6
    for read in (
        [(("a",), changed)],
        [(("a",), tensor.view(7, 5))],
        [(("a",), tensor.double())],
        [(("a",), tensor)] * 2,
    ):
        before = compute.count
        FactorCache(tmp_path).recall("x", read, compute)
        assert compute.count == before + 1


def test_another_computation_on_the_same_tensors_is_another_file(
    tmp_path: Path, tensor: Tensor, compute: Computation
) -> None:
    cache = FactorCache(tmp_path)
    for what in ("x", "y", "x"):
        cache.recall(what, [(("a",), tensor)], compute)
    assert compute.count == len(files(tmp_path)) == 2


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def fill(path: Path) -> None:
    path.write_bytes(b"\xff" * 100)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, fill, empty])
def test_a_broken_file_is_computed_again_and_mended(
    tmp_path: Path, tensor: Tensor, compute: Computation, damage: Callable[[Path], None]
) -> None:
    FactorCache(tmp_path).recall("x", [(("a",), tensor)], compute)
    damage(files(tmp_path)[0])
    for _ in range(2):
        assert FactorCache(tmp_path).recall("x", [(("a",), tensor)], compute)[0].equal(tensor.T * 2)
    assert compute.count == 2


def test_workers_at_once_leave_whole_files_only(tmp_path: Path, tensor: Tensor) -> None:
    def work(i: int) -> bool:
        cache = FactorCache(tmp_path)
        return all(
            cache.recall(f"x{j % 5}", [(("a",), tensor)], Computation(tensor))[0].equal(tensor.T * 2) for j in range(20)
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert len(files(tmp_path)) == 5
    assert all(path.suffix == ".safetensors" for path in files(tmp_path))


def test_the_files_least_recently_used_go_when_the_limit_is_reached(tmp_path: Path, tensor: Tensor) -> None:
    read: Read = [(("a",), tensor)]
    FactorCache(tmp_path).recall("old", read, Computation(tensor))
    size = files(tmp_path)[0].stat().st_size
    cache = FactorCache(tmp_path, limit_bytes=int(2.5 * size))
    os.utime(files(tmp_path)[0], (0, 0))
    cache.recall("kept", read, Computation(tensor))
    cache.recall("new", read, Computation(tensor))
    counts = {what: Computation(tensor) for what in ("kept", "new", "old")}
    for what, counted in counts.items():
        cache.recall(what, read, counted)
    assert [counted.count for counted in counts.values()] == [0, 0, 1]
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 2.5 * size


def test_use_keeps_a_file_from_going(tmp_path: Path, tensor: Tensor) -> None:
    read: Read = [(("a",), tensor)]
    cache = FactorCache(tmp_path)
    cache.recall("used", read, Computation(tensor))
    os.utime(files(tmp_path)[0], (0, 0))
    cache.recall("used", read, Computation(tensor))
    assert files(tmp_path)[0].stat().st_mtime > 0


def test_a_limit_of_0_writes_nothing(tmp_path: Path, tensor: Tensor, compute: Computation) -> None:
    for _ in range(2):
        FactorCache(tmp_path, limit_bytes=0).recall("x", [(("a",), tensor)], compute)
    assert compute.count == 2
    assert not files(tmp_path)


def test_a_directory_that_cannot_be_written_costs_one_warning(
    tmp_path: Path, tensor: Tensor, compute: Computation, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = FactorCache(tmp_path / "file")
    with caplog.at_level(logging.WARNING):
        for what in ("x", "y"):
            assert cache.recall(what, [(("a",), tensor)], compute)[0].equal(tensor.T * 2)
    assert len(caplog.records) == 1
    assert "set EVOMERGE_CACHE to a directory with room" in caplog.text


def test_the_environment_says_where_and_how_much(
    tmp_path: Path, tensor: Tensor, compute: Computation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOMERGE_CACHE", str(tmp_path))
    FactorCache().recall("x", [(("a",), tensor)], compute)
    assert len(files(tmp_path / "factors")) == 1
    monkeypatch.setenv("EVOMERGE_CACHE_GB", "0")
    FactorCache().recall("y", [(("a",), tensor)], compute)
    assert len(files(tmp_path / "factors")) == 1
    monkeypatch.setenv("EVOMERGE_CACHE_GB", "-1")
    with pytest.raises(SpaceError, match="EVOMERGE_CACHE_GB: expected a number of at least 0, found '-1'"):
        FactorCache()


OPERATORS = ("iso_c", "iso_cts", "tsv_m", "r_tsvm", "star", "adarank", "lore", "opcm", "wudi", "optmerge", "doge")


def spectral(parents: Parents, operator: str, **parameters: float) -> Recipe:
    required = {"rank_share": 0.5} if operator == "adarank" else {}
    inputs = tuple(Input(name, {"weight": 0.75, **required}) for name in ("alpha", "beta"))
    sources = {name: checkpoint.source for name, checkpoint in parents.checkpoints.items()}
    return Recipe(sources, "base", (Rule(operator, inputs, parameters),), dtype="float32")


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_resident_model_has_the_same_bits_from_a_warm_cache_a_cold_one_and_none(
    tmp_path: Path, family: Family, operator: str
) -> None:
    parents = opened(family.parents)
    recipe = spectral(parents, operator)
    for _ in range(2):
        model = ResidentModel(build_module(parents["base"]), parents, memory=MergeMemory(factors=FactorCache(tmp_path)))
        model.become(recipe)
        weights = model.model.state_dict()
        for name in output_names(recipe, parents):
            assert merged_tensor(recipe, parents, name).equal(weights[name]), name


def test_one_memory_tells_centres_cuts_and_calibrations_apart(tmp_path: Path, family: Family) -> None:
    parents = opened(family.parents)
    memory = MergeMemory(factors=FactorCache(tmp_path))
    variants = ({}, {"centre": "mean"}, {"cart_rank_share": 0.5}, {"centre": "mean", "cart_rank_share": 0.5})
    weights = {"ties": {"density": 0.3}, "wudi": {}}
    for operator, given in weights.items():
        for own in (*variants, {"svc_alpha": 1.0}, *variants):
            inputs = tuple(Input(name, {"weight": 0.75, **given}) for name in ("alpha", "beta"))
            recipe = replace(spectral(parents, "wudi"), rules=(Rule(operator, inputs, own),))
            for name in output_names(recipe, parents):
                remembered = merged_tensor(recipe, parents, name, memory=memory)
                assert remembered.equal(merged_tensor(recipe, parents, name)), (operator, own, name)


def test_a_second_candidate_with_another_scale_decomposes_nothing(
    tmp_path: Path, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    parents = opened(family.parents)
    for operator in ("iso_c", "iso_cts", "tsv_m", "star", "wudi"):
        ResidentModel(build_module(parents["base"]), parents, memory=MergeMemory(factors=FactorCache(tmp_path))).become(
            spectral(parents, operator)
        )
    before = sorted(files(tmp_path))
    monkeypatch.setattr(torch.linalg, "eigh", None)
    for operator in ("iso_c", "iso_cts", "tsv_m", "star", "wudi"):
        ResidentModel(build_module(parents["base"]), parents, memory=MergeMemory(factors=FactorCache(tmp_path))).become(
            spectral(parents, operator, **{"lambda": 0.3})
        )
    assert sorted(files(tmp_path)) == before


def test_full_decompositions_take_the_bytes_that_are_foretold(family: Family, tmp_path: Path) -> None:
    parents = opened(family.parents)
    checkpoint = parents["alpha"]
    cache, told = FactorCache(tmp_path), 0
    for name in checkpoint.names:
        if name.startswith("model.layers.") and len(checkpoint.shape(name)) == 2:
            matrix = checkpoint.tensor(name).float()
            told += 4 * min(matrix.shape) * sum(matrix.shape)
            cache.recall("svd", [((name,), matrix)], lambda m=matrix: tuple(torch.linalg.svd(m, full_matrices=False)))  # type: ignore[misc]
    kept = sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors"))
    assert full_bytes(checkpoint) == told
    assert told <= kept <= 1.5 * told  # besides, headers and singular values
