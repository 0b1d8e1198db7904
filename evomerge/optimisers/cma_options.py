"""pycma's own options in a campaign file: which are passed on, and why the others are not."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from evomerge.errors import did_you_mean
from evomerge.optimisers.errors import OptimiserError

# pycma's options that would break a promise of ours, and what to use instead.
OWNED_OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(["bounds", "BoundaryHandler"], "genomes live in the unit cube; set bounds under `space`"),
        **dict.fromkeys(["popsize", "popsize_factor"], "use `population`"),
        **dict.fromkeys(["seed", "randn"], "random numbers come from the campaign's seed"),
        **dict.fromkeys(["timeout", "signals_filename"], "it would make a resumed search differ; use `budget`"),
        **dict.fromkeys(["integer_variables", "fixed_variables"], "the search space freezes genes and decodes choices"),
        **dict.fromkeys(["scaling_of_variables", "transformation", "typical_x"], "the search space scales genes"),
        **dict.fromkeys(["termination_callback", "is_feasible", "CMA_sampler", "CMA_eigenmethod"], "it is code"),
        "noise_handling": "scores are the same whenever they are taken",
        "CMA_diagonal": "use `sep: true`",
    }
)


def check_options(options: Mapping[str, Any]) -> None:
    """Check options meant for pycma, without building anything.

    Raises:
        OptimiserError: an option that pycma does not know or that evomerge sets itself, or a value that is not a
            number, a boolean or a list of numbers (pycma would evaluate a string as code).
    """
    import cma

    known = set(cma.CMAOptions.defaults())
    for name, value in options.items():
        if name in OWNED_OPTIONS or name.startswith("verb"):
            reason = OWNED_OPTIONS.get(name, "evomerge logs by itself")
            raise OptimiserError(f"{name}: expected an option of pycma that evomerge passes on; {reason}")
        if name not in known:
            hint = did_you_mean(name, known - set(OWNED_OPTIONS), "`cma.CMAOptions()` lists them")
            raise OptimiserError(f"{name}: expected an option of pycma; {hint}")
        numbers = value if isinstance(value, (list, tuple)) else [value]
        if not all(isinstance(number, (bool, int, float)) for number in numbers):
            raise OptimiserError(f"{name}: expected a number, a boolean or a list of numbers, found {value!r}")
