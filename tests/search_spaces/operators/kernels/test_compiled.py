from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
import torch
from torch._inductor.runtime.cache_dir_utils import cache_dir
from torch._inductor.utils import fresh_cache, run_and_get_code

from search_spaces.errors import SpaceError
from search_spaces.operators.kernels import compiled
from search_spaces.operators.kernels.blocks import merge_into
from search_spaces.operators.kernels.compiled import CompiledKernels, keep_on_disk
from search_spaces.operators.kernels.form import Merge
from search_spaces.recipes.rule import Input, Rule
from tests.search_spaces.operators.kernels.rules import merge_of, plan_of, random_parents

FEW = {"weight": 0.7, "density": 0.5}
needs_a_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="no g++ on this machine: kernels cannot be compiled"
)
quiet = pytest.mark.filterwarnings("ignore")  # of torch.compile's own making


def example(operator: str, dtype: torch.dtype, *, n: int = 100_003, out: str = "bfloat16") -> Merge:
    inputs = tuple(Input(f"p{i}", {} if operator == "sce" else FEW) for i in range(3))
    if operator in ("linear", "task_arithmetic", "magmax"):
        inputs = tuple(Input(f"p{i}", {"weight": 0.3 * i - 0.2}) for i in range(3))
    rule = Rule(operator, inputs, {"select_topk": 0.5} if operator == "sce" else {})
    parents = random_parents((n,), 3, [dtype], levels=50)
    merge = merge_of(plan_of(rule, parents, dtype=out), parents)
    assert merge is not None
    return merge


def assert_compiled_equals_eager(merge: Merge, out_dtype: torch.dtype = torch.float32) -> None:
    made, eager = (torch.empty(merge.tensors[0].numel(), dtype=out_dtype) for _ in range(2))
    kernels = CompiledKernels("always")
    assert merge_into(made, merge, compiled=kernels)
    assert merge_into(eager, merge)
    bits = {2: torch.int16, 4: torch.int32}[out_dtype.itemsize]
    assert made.view(bits).equal(eager.view(bits))
    assert len(kernels._kernels) == 1  # or it has fallen back, and compared eager with eager


@quiet
@needs_a_compiler
def test_a_kernel_that_was_really_compiled_gives_the_bits_of_the_eager_one() -> None:
    assert_compiled_equals_eager(example("task_arithmetic", torch.bfloat16, n=5000))  # 15 s, nearly all of it g++


@quiet
@needs_a_compiler
@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "operator", ["linear", "task_arithmetic", "ties", "dare_ties", "della", "breadcrumbs_ties", "magmax", "sce"]
)
def test_a_compiled_kernel_gives_the_values_of_the_eager_one(operator: str, dtype: torch.dtype) -> None:
    assert_compiled_equals_eager(example(operator, dtype))


@quiet
@needs_a_compiler
@pytest.mark.slow
def test_one_kernel_serves_tensors_of_every_shape_and_uses_all_threads_though_the_first_was_small() -> None:
    kernels, first = CompiledKernels("always"), example("linear", torch.float32, n=100)
    with fresh_cache(), torch._dynamo.config.patch(error_on_recompile=True):
        _, code = run_and_get_code(lambda: merge_into(torch.empty(100), first, compiled=kernels))
        matrix = torch.empty(100, 50)
        assert merge_into(matrix.view(-1), example("linear", torch.float32, n=5000), compiled=kernels)
    assert "#pragma omp parallel" in code[0]
    assert (len(kernels._kernels), kernels._mode) == (1, "always")


@quiet
@needs_a_compiler
@pytest.mark.slow
def test_numbers_too_small_to_be_normal_survive_compiling() -> None:
    merge = example("task_arithmetic", torch.float32, out="float32")
    tiny = tuple(tensor * 1e-39 for tensor in merge.tensors)
    assert merge.base is not None
    assert_compiled_equals_eager(Merge(merge.form, tiny, merge.base * 1e-39, merge.parts))
    assert float(torch.tensor(1e-40) * 0.5) > 0.0  # nor has the process lost them


@pytest.mark.parametrize("asked_before", [True, False])
def test_kernels_land_in_the_cache_also_where_torch_asked_for_a_directory_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, asked_before: bool
) -> None:
    monkeypatch.setenv("EVOMERGE_CACHE", str(tmp_path))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    if asked_before:
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", cache_dir())  # as torch itself notes it
    keep_on_disk()
    assert cache_dir() == str(tmp_path / "kernels")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "the user's"))
    keep_on_disk()
    assert cache_dir() == str(tmp_path / "the user's")


@quiet
@needs_a_compiler
@pytest.mark.slow
def test_what_is_merged_in_parts_has_the_bits_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_IN_CACHE", 10_000)
    for out in (torch.float32, torch.bfloat16):
        assert_compiled_equals_eager(example("della", torch.bfloat16, n=100_030), out)


def test_without_a_compiler_the_eager_path_takes_over_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*args: object, **options: object) -> None:
        raise RuntimeError("InvalidCxxCompiler: none\nfound")

    monkeypatch.setattr(torch, "compile", fails)
    merge, kernels = example("ties", torch.bfloat16, n=5000), CompiledKernels("always")
    expected, found = torch.empty(5000), torch.empty(5000)
    merge_into(expected, merge)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert merge_into(found, merge, compiled=kernels)
    assert found.equal(expected)
    assert [record.getMessage() for record in caplog.records] == [
        "merges run without compiled kernels, which is slower: RuntimeError: InvalidCxxCompiler: none"
    ]


def test_small_merges_are_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda *args, **options: pytest.fail("compiled"))
    merge = example("ties", torch.bfloat16, n=5000)
    for mode in ("auto", "never"):
        assert merge_into(torch.empty(5000), merge, compiled=CompiledKernels(mode))  # type: ignore[arg-type]


def test_an_unknown_mode_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOMERGE_COMPILE", "sometimes")
    with pytest.raises(SpaceError, match="EVOMERGE_COMPILE: expected auto, always or never, found 'sometimes'"):
        CompiledKernels()
