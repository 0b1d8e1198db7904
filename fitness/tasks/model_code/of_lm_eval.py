"""Tasks of lm-eval that run what models write (`unsafe_code: true`): their functions are called in a sandbox."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from types import FunctionType, MethodWrapperType
from typing import Any

from fitness.errors import FitnessError
from fitness.tasks.model_code.sandbox import SandboxedFunction, require_sandbox

RUNS_CODE = (
    "task {!r}: expected a task that runs no code, found one that runs what models write; lm_eval.run_model_code: true "
    "(eval --run-model-code) runs it in a sandbox without network"
)
CODE_EVAL = "HF_ALLOW_CODE_EVAL"  # what `evaluate` asks for before its metric `code_eval` runs anything


def call_in_sandbox(task: Any, name: str) -> None:
    """Have the functions of a task that see what models write called in a sandbox, all but those of lm-eval itself."""
    require_sandbox(name)
    metrics = task._metric_fn_list
    for metric, called in metrics.items():
        function = getattr(called, "__self__", called) if isinstance(called, MethodWrapperType) else called
        if not isinstance(function, FunctionType):
            raise FitnessError(f"task {name!r}, metric {metric!r}: expected a function of a file, found {called!r}")
        if not function.__module__.startswith("lm_eval.api."):  # by a name of lm-eval's: they compare texts
            metrics[metric] = SandboxedFunction(function, name)
    whole = task.config.process_results
    if callable(whole):
        task.config.process_results = SandboxedFunction(whole, name, zero=dict.fromkeys(task.aggregation(), 0.0))


@contextlib.contextmanager
def trying_examples(allowed: bool) -> Iterator[None]:
    """Let files of tasks that run what models write try `evaluate`'s own example while they are loaded, as they do."""
    before = os.environ.get(CODE_EVAL)
    if allowed:
        os.environ[CODE_EVAL] = "1"
    try:
        yield
    finally:
        if allowed and before is None:
            del os.environ[CODE_EVAL]
