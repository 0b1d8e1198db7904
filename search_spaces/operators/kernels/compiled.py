"""Elementwise kernels compiled by torch, where that pays and where a compiler is found."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
import types
from collections.abc import Callable, Hashable
from typing import Any, Literal, cast

import torch
from torch import Tensor

from search_spaces.cache_directory import cache_directory
from search_spaces.errors import SpaceError
from search_spaces.operators.kernels.elementwise import Numbers, Read, merge_elements, write_elements
from search_spaces.operators.kernels.form import Form

Mode = Literal["auto", "always", "never"]
Kernel = Callable[[Read, Numbers, Tensor], Tensor | None]  # the largest magnitude, where it finds it


# A form is compiled when it has taken this many seconds of processors without: about as long as compiling it takes,
# so that at worst twice the best time is spent. Single merges of small models do not get there.
_WORTH_COMPILING_S = 8.0

_DIRECTORY = "TORCHINDUCTOR_CACHE_DIR"

# Elements that each thread makes in half precision before they are copied: a few megabytes, which stay in the cache. A
# part is not shorter than what torch compiles apart.
_IN_CACHE = 1 << 20
_LEAST = 64

# Operations of an expression, more than any has.
_LONGEST = 1 << 20
_REALIZED_ABOVE = ("realize_opcount_threshold", "realize_reads_threshold", "realize_acc_reads_threshold")

_LOG = logging.getLogger(__name__)


class CompiledKernels:
    """`merge_elements`, compiled for each form and combination of dtypes that is used much.

    Compiled code is kept on disk, under `$EVOMERGE_CACHE/kernels` (default `~/.cache/evomerge/kernels`), so that
    later processes only load it. Where compiling fails, a line in the log says so once, and nothing is compiled after.
    """

    def __init__(self, mode: Mode | None = None) -> None:
        """Compile nothing yet; mode None is `$EVOMERGE_COMPILE`, or auto: what is used much."""
        self._mode = _mode_from_environment() if mode is None else mode
        self._kernels: dict[Hashable, Kernel] = {}
        self._eager_s: dict[Hashable, float] = {}
        self._compiling = threading.Lock()

    def run(self, form: Form, read: Read, numbers: Numbers, out: Tensor, *, eagerly: Callable[[], bool]) -> bool:
        """Merge as `merge_elements` does, compiled or `eagerly`; return whether every element is finite."""
        key = (form, out.dtype, *(tensor.dtype for tensor in read.tensors), _dtype(read.base))
        if key in self._kernels:
            return _run(self._kernels[key], form, read, numbers, out)
        if self._pays(key):
            try:
                return self._compile_and_run(key, form, read, numbers, out)
            except Exception as error:  # whatever is wrong with the compiler, the eager path gives the same bits
                self._mode = "never"
                _LOG.warning("merges run without compiled kernels, which is slower: %s", _reason(error))
        # Time of processors: a machine that others use makes no kernel worth more. Of this thread, if it works alone.
        clock = time.thread_time if torch.get_num_threads() == 1 else time.process_time
        began = clock()
        finite = eagerly()
        self._eager_s[key] = self._eager_s.get(key, 0.0) + clock() - began
        return finite

    def _pays(self, key: Hashable) -> bool:
        return self._mode == "always" or (self._mode == "auto" and self._eager_s.get(key, 0.0) > _WORTH_COMPILING_S)

    def _compile_and_run(self, key: Hashable, form: Form, read: Read, numbers: Numbers, out: Tensor) -> bool:
        with self._compiling:
            if not self._kernels:
                _LOG.info("compiling merge kernels: some 20 s, the first time on this machine")
            kernel = self._kernels.get(key) or _compiled(form)
            finite = _run(kernel, form, read, numbers, out)
            self._kernels[key] = kernel
        return finite


def _compiled(form: Form) -> Kernel:
    keep_on_disk()

    def kernel(read: Read, numbers: Numbers, out: Tensor) -> Tensor | None:
        if _is_direct(form):
            return merge_elements(form, read, numbers, out)
        write_elements(form, read, numbers, out)
        return None

    # Recompilations are counted, and limited, by code object: every form has one of its own.
    own = types.FunctionType(kernel.__code__.replace(), kernel.__globals__, "kernel", None, kernel.__closure__)
    options: dict[str, str | int | bool | Callable[..., Any]] = {
        "emulate_precision_casts": True,  # or rounding to bfloat16 and back would be left out
        "compile_threads": 1,  # no processes of its own
        "cpp.dynamic_threads": True,  # or what was compiled for a small tensor would merge large ones on one thread
    }
    if not _is_direct(form):
        # One expression, however long. Where a part of it reads and writes no half precision, torch computes all of it
        # in steps of eight elements, and loads halves of a register of bfloat16 through memory: three times as long.
        options |= dict.fromkeys(_REALIZED_ABOVE, _LONGEST)
    compiled = torch.compile(own, fullgraph=True, dynamic=True, options=options)

    def detached(read: Read, numbers: Numbers, out: Tensor) -> Tensor | None:
        # What a tensor is a view of counts for torch: a kernel would be compiled for each number of its dimensions.
        base = None if read.base is None else read.base.detach()
        bare = Read([t.detach() for t in read.tensors], base, [t.detach() for t in read.ranks])
        return cast("Tensor | None", compiled(bare, numbers, out.detach()))

    return detached


def keep_on_disk() -> None:
    """Say where compiled code lies, unless the user did; torch says so itself as soon as any part of it asks."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    if os.environ.get(_DIRECTORY) in (None, os.path.abspath(default_cache_dir())):
        os.environ[_DIRECTORY] = str(cache_directory("kernels"))


def _run(kernel: Kernel, form: Form, read: Read, numbers: Numbers, out: Tensor) -> bool:
    """Let a kernel write `out`; return whether every element is finite.

    It reads ranks as float32 and writes the form's dtype: what has another is converted in parts that fit the
    processor's cache.
    """
    if _is_direct(form) or (out.dtype is form.dtype and not read.ranks):
        largest = kernel(read, numbers, out)
        return _is_finite(out) if largest is None else bool(largest.isfinite())
    n, step = out.numel(), _IN_CACHE * torch.get_num_threads()
    finite = True
    for start, stop in itertools.pairwise([*range(0, max(1, n - _LEAST), step), n]):
        here = slice(start, stop)
        base = None if read.base is None else read.base[here]
        part = Read([t[here] for t in read.tensors], base, [ranks[here].to(torch.float32) for ranks in read.ranks])
        made = out[here] if out.dtype is form.dtype else torch.empty(stop - start, dtype=form.dtype)
        kernel(part, numbers._replace(start=numbers.start + start), made)
        finite = _is_finite(made) and finite
        if out.dtype is not form.dtype:
            out[here].copy_(made)
    return finite


def _is_direct(form: Form) -> bool:
    """Return whether a kernel writes any dtype and finds the largest magnitude: sums are read and written, no more."""
    return form.survivors == "all" and form.consensus == "sum"


def _is_finite(out: Tensor) -> bool:
    """Return whether every element is finite: then their sum is, but for numbers so large that it overflows."""
    if out.sum().isfinite():
        return True
    low, high = torch.aminmax(out)
    return bool(low.isfinite() and high.isfinite())


def _mode_from_environment() -> Mode:
    mode = os.environ.get("EVOMERGE_COMPILE", "auto")
    if mode not in ("auto", "always", "never"):
        raise SpaceError(f"EVOMERGE_COMPILE: expected auto, always or never, found {mode!r}")
    return cast("Mode", mode)


def _dtype(tensor: Tensor | None) -> torch.dtype | None:
    return None if tensor is None else tensor.dtype


def _reason(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__
