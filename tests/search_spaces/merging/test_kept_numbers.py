from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from search_spaces.errors import SpaceError
from search_spaces.layers.sources import output_names
from search_spaces.merging.factors import FactorCache
from search_spaces.merging.kept_numbers import KeptNumbers
from search_spaces.merging.materialise import carry_out_all, merged_tensor
from search_spaces.merging.memory import MergeMemory
from search_spaces.merging.plan import plan_tensors
from search_spaces.merging.trims import SEARCHED_BEFORE_A_TABLE, TrimCache
from search_spaces.operators.kernels.sparsify import density_steps
from search_spaces.operators.kernels.threshold import trim_to
from search_spaces.parents.parents import Parents
from search_spaces.recipes.rule import Input, Rule
from tests.conftest import Family, make_family
from tests.search_spaces.merging.recipes import opened, recipe

KEY = (True, ("alpha", "a.weight", "base", "a.weight"))
NUMBERS = np.array([0.1, float(np.float32(0.3)), -1.0, 2.0**40])


def test_another_process_finds_the_very_numbers(parents: Parents, tmp_path: Path) -> None:
    waiting = KeptNumbers(parents, tmp_path)
    assert waiting.find(KEY) is None
    kept = KeptNumbers(parents, tmp_path)
    kept.add(KEY, NUMBERS)
    kept.flush()
    for reader in (waiting, KeptNumbers(parents, tmp_path)):
        found = reader.find(KEY)
        assert found is not None
        assert found.tolist() == NUMBERS.tolist()
        assert reader.find(("another",)) is None


def cut(content: bytes) -> bytes:
    return content[:-9]


def fill(content: bytes) -> bytes:
    return b"\xff\x00" * len(content)


def other(content: bytes) -> bytes:
    return b'[1]\n{}\n["name", 3]\n["name", "no base64!"]\n' + content[: len(content) // 2]


@pytest.mark.parametrize("damage", [cut, fill, other])
def test_a_torn_file_is_no_error_and_what_is_added_after_it_is_found(
    parents: Parents, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    kept = KeptNumbers(parents, tmp_path)
    kept.add(KEY, NUMBERS)
    kept.flush()
    kept.file.write_bytes(damage(kept.file.read_bytes()))
    after = KeptNumbers(parents, tmp_path)
    assert after.find(KEY) is None
    after.add(KEY, NUMBERS)
    after.flush()
    found = KeptNumbers(parents, tmp_path).find(KEY)
    assert found is not None
    assert found.tolist() == NUMBERS.tolist()


def test_many_that_write_at_once_lose_nothing(parents: Parents, tmp_path: Path) -> None:
    def work(i: int) -> None:
        kept = KeptNumbers(parents, tmp_path)
        for j in range(20):
            kept.add((i, j), np.arange(float(i + j)))
            kept.flush()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    kept = KeptNumbers(parents, tmp_path)
    for i in range(4):
        for j in range(20):
            found = kept.find((i, j))
            assert found is not None
            assert found.tolist() == list(range(i + j))


def test_other_weights_have_another_file(family: Family, tmp_path: Path) -> None:
    places = {name: tmp_path / name for name in family.parents}
    for name, directory in family.parents.items():
        shutil.copytree(directory, places[name])
    before = KeptNumbers(opened(places), tmp_path)
    assert before.name == KeptNumbers(opened(family.parents), tmp_path).name  # wherever they lie
    file = next(places["alpha"].glob("*.safetensors"))
    weights = load_file(file)
    next(iter(weights.values())).view(-1)[0] += 1.0
    save_file(weights, file, metadata={"format": "pt"})
    assert KeptNumbers(opened(places), tmp_path).name != before.name


def test_a_directory_that_cannot_be_written_costs_a_warning(
    parents: Parents, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    kept = KeptNumbers(parents, tmp_path / "file")
    with caplog.at_level(logging.WARNING):
        kept.add(KEY, NUMBERS)
        kept.flush()
    assert kept.find(KEY) is not None
    assert "set EVOMERGE_CACHE to a directory with room" in caplog.text


def test_one_threshold_makes_no_table_and_many_make_one_that_others_find(parents: Parents, tmp_path: Path) -> None:
    n = 70_001
    magnitudes = torch.randn(n, generator=torch.Generator().manual_seed(0)).abs()
    read: list[int] = []

    def counted(part: slice) -> torch.Tensor:
        read.append(len(range(*part.indices(n))))
        return magnitudes[part]

    steps = density_steps(n)

    def ask(cache: TrimCache, k: int) -> None:
        assert cache.trim(KEY, counted, k, n, steps=density_steps) == trim_to(magnitudes, k)

    kept = KeptNumbers(parents, tmp_path)
    cache = TrimCache(kept)
    ask(cache, steps[51])
    assert sum(read) < 2.2 * n
    assert kept.find(("table", KEY)) is None
    for k in steps[:SEARCHED_BEFORE_A_TABLE]:
        ask(cache, k)
    assert kept.find(("table", KEY)) is not None
    kept.flush()
    read.clear()
    for k in (steps[51], *steps[::40]):
        ask(TrimCache(KeptNumbers(parents, tmp_path)), k)
        ask(cache, k)
    assert not read


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Parents:
    """Parents with tensors of more elements than are sorted for a table."""
    return opened(make_family(tmp_path_factory.mktemp("wide"), hidden=192).parents)


def merges(parents: Parents) -> list[Rule]:
    names = ("alpha", "beta")

    def rule(operator: str, parameters: dict[str, object], **each: float) -> Rule:
        return Rule(operator, tuple(Input(name, each) for name in names), parameters)  # type: ignore[arg-type]

    return [
        *(rule("ties", {}, weight=0.7, density=i / 256) for i in range(5, 256, 13)),
        *(rule("sce", {"select_topk": i / 256}) for i in range(5, 256, 13)),
        *(rule("breadcrumbs", {}, weight=0.7, density=0.5, gamma=g) for g in (0.01, 0.02)),
        rule("ties", {"scope": "global"}, weight=0.7, density=0.3),
        rule("della", {}, weight=0.7, density=0.5),
        rule("ties", {}, weight=0.7, density=0.123),
    ]


def test_what_is_kept_changes_no_bit_of_any_merge(
    wide: Parents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search_spaces.merging.memory._FEWEST_RANKS_ON_DISK", 1 << 12)
    rules = merges(wide)
    for again in (rules, rules[::-1]):  # the second process finds most of it on disk
        memory = MergeMemory(kept=KeptNumbers(wide, tmp_path / "kept"), factors=FactorCache(tmp_path / "factors"))
        for rule in again:
            merge = recipe(wide, rule)
            names = output_names(merge, wide)[:4]
            plans = plan_tensors(merge, wide, names)
            made = carry_out_all([plans[name] for name in names], wide, memory=memory)
            for name, tensor in zip(names, made, strict=True):
                assert merged_tensor(merge, wide, name).equal(tensor), (rule, name)
    assert list((tmp_path / "factors").rglob("*.safetensors"))
    assert list((tmp_path / "kept").glob("*.jsonl"))


def test_where_more_is_needed_than_fits_what_came_first_is_found_again(tmp_path: Path) -> None:
    tensor, computed = torch.arange(1000.0), []

    def compute(i: int) -> tuple[torch.Tensor, ...]:
        computed.append(i)
        return (tensor + i,)

    cache = FactorCache(tmp_path, limit_bytes=5 * (4 * 1000 + 200))
    for _ in range(3):  # candidates, each of which needs all ten
        for i in range(10):
            assert cache.mapped(f"{i}", lambda i=i: compute(i))[0].equal(tensor + i)  # type: ignore[misc]
    assert [computed.count(i) for i in range(10)] == [1] * 5 + [3] * 5


def test_a_parent_whose_files_are_gone_is_named(tmp_path: Path) -> None:
    family = make_family(tmp_path)
    opened_parents = opened(family.parents)
    shutil.rmtree(family.experts["alpha"])
    with pytest.raises(SpaceError, match=r"parent 'alpha': its files changed while it was in use: .*alpha"):
        KeptNumbers(opened_parents, tmp_path / "kept").find(KEY)
