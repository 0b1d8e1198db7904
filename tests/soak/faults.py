"""Every kind of fault by name, and its share of the time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.soak import clusters, commands, surroundings, toys
from tests.soak.place import Place


@dataclass(frozen=True)
class Fault:
    """Does harm and checks what is left; an AssertionError says what was lost."""

    happen: Callable[[Place, random.Random], None]
    share: float = 1.0


FAULTS = {
    "SIGKILL of a toy campaign": Fault(toys.kills_of_a_toy, 30.0),
    "a full disk under a toy campaign": Fault(surroundings.toy_on_a_full_disk, 3.0),
    "SIGKILL of `run`": Fault(commands.kills_of_run, 8.0),
    "SIGTERM, SIGINT, SIGHUP to `run`": Fault(commands.signals_to_run, 8.0),
    "signals to `verify`": Fault(commands.harmed_verify, 3.0),
    "signals to `report`": Fault(commands.harmed_report, 2.0),
    "signals to `export`": Fault(commands.harmed_export, 2.0),
    "signals to `merge`": Fault(commands.harmed_merge, 2.0),
    "a full disk under `run` and `verify`": Fault(surroundings.full_disk, 5.0),
    "SIGKILL of driver, raylet, actors of a toy campaign under Ray": Fault(clusters.kills_under_ray, 8.0),
    "64 open files": Fault(surroundings.few_open_files, 2.0),
    "little memory": Fault(surroundings.little_memory, 4.0),
    "no home": Fault(surroundings.no_home, 3.0),
    "a moved run directory": Fault(surroundings.moved, 4.0),
    "a clock that goes back": Fault(surroundings.clock_goes_back, 4.0),
}
