from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from evomerge.workers.short_waits import ShortWaits, idle_threads, loaded_libraries
from evomerge.workers.threads import allowed_cpus

# Two threads meet again and again; in between they have nothing to do for longer than one ever spins.
MEETING = """
import ctypes, sys, threading, time
from evomerge.workers.short_waits import ShortWaits, idle_threads, loaded_libraries
from evomerge.workers.threads import allowed_cpus
gomp, nothing = ctypes.CDLL(sys.argv[1]), ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p)
assert [path.rpartition("/")[2] for path in loaded_libraries()] == [sys.argv[1].rpartition("/")[2]]
def processor_seconds():
    began = time.process_time()
    for _ in range(20):
        gomp.GOMP_parallel(nothing, None, 2, 0)
        time.sleep(0.02)
    return time.process_time() - began
processor_seconds()
spinning = processor_seconds()
with ShortWaits(loaded_libraries(), idle_threads(2, len(allowed_cpus()))):
    asleep = processor_seconds()
print(spinning, asleep, processor_seconds(), threading.active_count())
"""

# A thread's stack takes 8 MiB of addresses, as a rule: there is room for none, one, two...
NO_ROOM = """
import ctypes, re, resource, sys, threading
from pathlib import Path
from evomerge.workers.short_waits import ShortWaits, loaded_libraries
ctypes.CDLL(sys.argv[1])
status = Path("/proc/self/status").read_text()
used, found = int(re.search(r"VmSize:\\s+(\\d+)", status)[1]) << 10, []
for mib in range(0, 200, 4):
    resource.setrlimit(resource.RLIMIT_AS, (used + (mib << 20), resource.RLIM_INFINITY))
    try:
        with ShortWaits(loaded_libraries(), 3):
            found.append("asleep")
    except (RuntimeError, MemoryError):  # without any room Python itself has none
        found.append("no room")
print(found[0], found[-1], threading.active_count())
"""


def libgomp() -> Path:
    spec = importlib.util.find_spec("torch")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    found = sorted((Path(spec.submodule_search_locations[0]) / "lib").glob("libgomp*"))
    if not found or len(allowed_cpus()) < 2:
        pytest.skip("torch brings no libgomp here, or two threads are more than there are CPUs")
    return found[0]


def test_threads_that_wait_sleep_as_long_as_there_are_idle_ones_and_spin_before_and_after():
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-c", MEETING, str(libgomp())]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True, timeout=120)
    spinning, asleep, after, threads = map(float, done.stdout.split())
    assert asleep < spinning / 2
    assert asleep < after / 2
    assert threads == 1


def test_where_there_is_no_room_for_threads_nothing_is_changed_and_the_process_lives():
    done = subprocess.run(
        [sys.executable, "-c", NO_ROOM, str(libgomp())], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == ["no", "room", "asleep", "1"]
    assert done.stderr == ""


def test_how_threads_wait_changes_no_bit():
    torch.manual_seed(0)
    torch.set_num_threads(2)
    rows, weights = torch.randn(7, 576), torch.randn(1536, 576)  # whose product has other bits on one thread
    spinning = torch.nn.functional.linear(rows, weights), torch.randn(1 << 20).cumsum(0)
    torch.manual_seed(0)
    with ShortWaits(loaded_libraries(), idle_threads(2, len(allowed_cpus()))):
        rows, weights = torch.randn(7, 576), torch.randn(1536, 576)
        asleep = torch.nn.functional.linear(rows, weights), torch.randn(1 << 20).cumsum(0)
        assert torch.get_num_threads() == 2
    assert all(map(torch.equal, spinning, asleep))


def test_a_system_that_does_not_tell_what_is_loaded_has_no_libraries(tmp_path: Path):
    assert loaded_libraries(tmp_path / "maps") == ()


def test_each_library_is_found_once_whatever_its_place_is_called(tmp_path: Path):
    maps = tmp_path / "maps"
    row = "7f0000-7f1000 r-xp 00000000 08:01 12 "
    maps.write_text(f"{row}/a b/libgomp.so.1\n{row}/a b/libgomp.so.1\n{row}\n{row}[heap]\n{row}/c/libgomp-98.so\n")
    assert loaded_libraries(maps) == ("/a b/libgomp.so.1", "/c/libgomp-98.so")
