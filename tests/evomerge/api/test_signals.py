"""Ctrl-C ends what runs, also where it comes while nothing may be raised."""

from __future__ import annotations

import subprocess
import sys

_COLLECTED = """
import signal, time, weakref
from evomerge.api.signals import repeating_lost_interrupts

class Thing:
    pass

def ctrl_c(_):
    signal.raise_signal(signal.SIGINT)
    for _ in range(1000):  # where it is raised, inside a callback that lets nothing through
        pass

thing = Thing()
kept = weakref.ref(thing, ctrl_c)
with repeating_lost_interrupts():
    del thing
    print("goes on", flush=True)
    time.sleep(30)
    print("was never interrupted", flush=True)
"""


def test_ctrl_c_inside_a_callback_of_the_garbage_collector_ends_the_program_a_moment_later() -> None:
    done = subprocess.run([sys.executable, "-c", _COLLECTED], capture_output=True, text=True, check=False)
    assert done.stdout == "goes on\n"
    assert "Exception ignored" not in done.stderr
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")
    assert done.returncode != 0
