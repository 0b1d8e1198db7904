"""lm-eval's own command line, with the engine as `--model evomerge` (lm-eval 0.4.13 has no plug-in entry points)."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import lm_eval.models  # noqa: F401  # lm-eval registers its own models only while none is registered
from lm_eval.__main__ import cli_evaluate
from lm_eval.api.registry import register_model

from fitness.engine.lm_eval_backend import EngineLM
from fitness.errors import FitnessError

log = logging.getLogger(__name__)


def run_command_line(arguments: Sequence[str]) -> None:
    """Run lm-eval's own command line, with the engine as `--model evomerge`.

    Raises:
        SystemExit: as lm-eval's command line does.
        FitnessError: whatever else stops it; its traceback is in the log at level DEBUG.
    """
    register_model("evomerge")(EngineLM)
    sys.argv = ["lm-eval", *arguments]
    try:
        cli_evaluate()
    except FitnessError:
        raise
    except Exception as error:  # lm-eval tells wrong usage and defects alike
        log.debug("lm-eval failed", exc_info=True)
        raise FitnessError(f"lm-eval: {type(error).__name__}: {error}") from error
