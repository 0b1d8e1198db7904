import importlib
import pkgutil

import pytest

import evomerge
import fitness
import search_spaces
from evomerge.config.errors import ConfigError
from evomerge.errors import EvomergeError, exit_code
from evomerge.optimisers.errors import OptimiserError
from evomerge.results.front import PickError
from fitness.errors import FitnessError
from search_spaces.errors import SpaceError

INSIDE = {"UndecidedError"}  # never leaves its module


def test_every_error_that_a_module_shows_derives_from_the_one_root() -> None:
    for package in (evomerge, fitness, search_spaces):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            for name, value in vars(importlib.import_module(module.name)).items():
                ours = isinstance(value, type) and value.__module__.split(".")[0] in (
                    "evomerge",
                    "fitness",
                    "search_spaces",
                )
                if ours and issubclass(value, Exception) and not name.startswith("_") and name not in INSIDE:
                    assert issubclass(value, EvomergeError), f"{module.name}.{name}"


def test_wrong_usage_exits_with_2_failed_work_with_1_and_a_defect_shows_its_traceback() -> None:
    assert {error.exit_code for error in (ConfigError, OptimiserError, PickError)} == {2}
    assert exit_code(SpaceError("no such parent")) == exit_code(FitnessError("no items")) == exit_code(OSError()) == 1
    assert exit_code(ValueError("a defect")) is None


@pytest.mark.parametrize("error", [ConfigError, FitnessError, OptimiserError, PickError, SpaceError])
def test_callers_that_catch_value_errors_still_do(error: type[Exception]) -> None:
    assert issubclass(error, ValueError)
