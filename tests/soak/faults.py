"""Every kind of fault by name, and how often it is drawn."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.soak import commands, surroundings, toys
from tests.soak.place import Place


@dataclass(frozen=True)
class Fault:
    """Does harm and checks what is left; an AssertionError says what was lost."""

    happen: Callable[[Place, random.Random], None]
    weight: float = 1.0


FAULTS = {
    "SIGKILL of a toy campaign": Fault(toys.kills_of_a_toy, 20.0),
    "a full disk under a toy campaign": Fault(surroundings.toy_on_a_full_disk, 4.0),
    "SIGKILL of `run`": Fault(commands.kills_of_run, 3.0),
    "SIGTERM, SIGINT, SIGHUP to `run`": Fault(commands.signals_to_run, 3.0),
    "signals to `verify`": Fault(commands.harmed_verify),
    "signals to `report`": Fault(commands.harmed_report),
    "signals to `export`": Fault(commands.harmed_export),
    "signals to `merge`": Fault(commands.harmed_merge),
    "a full disk under `run` and `verify`": Fault(surroundings.full_disk),
    "64 open files": Fault(surroundings.few_open_files, 0.5),
    "little memory": Fault(surroundings.little_memory, 0.5),
    "no home": Fault(surroundings.no_home, 0.5),
    "a moved run directory": Fault(surroundings.moved),
    "a clock that goes back": Fault(surroundings.clock_goes_back),
}
