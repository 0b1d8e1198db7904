"""A Ray of our own or an existing cluster: connected to, checked for room, and left as it was; alone imports Ray.

Ray's temporary files lie in a directory that belongs to the run, with a path short enough for unix sockets.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evomerge.workers.protocol import WorkerSetupError
from evomerge.workers.threads import available_cores
from evomerge.workers.worker import reason

# Ray reads both when it is imported: nothing is sent home, and the raylet's messages do not go to our stdout.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")
import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

_DIRECTORY = ".ray"
_PREFIX = "evomerge-ray-"
_OBJECT_STORE_BYTES = 80 * 2**20  # Ray's least is 75 MiB; only item scores pass through it
_SOCKET = "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
_MAX_DIRECTORY_BYTES = 103 - len(_SOCKET)  # a socket's path: 107 bytes on Linux, 103 on macOS
_CONNECT_TIMEOUT_S = 10.0
_ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

__all__ = ["RayError", "RayTaskError", "await_workers", "check_room", "connect", "plain", "raise_setup_error", "ray"]


def connect(closing: contextlib.ExitStack, address: str | None, run_dir: Path) -> None:
    """Make sure that Ray runs, and push what undoes it on `closing`."""
    if ray.is_initialized():
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    with contextlib.ExitStack() as restore:
        # Ray puts a SIGTERM handler of its own in the place of the campaign's.
        handler = signal.getsignal(signal.SIGTERM)
        if callable(handler) and threading.current_thread() is threading.main_thread():
            restore.callback(signal.signal, signal.SIGTERM, handler)
        try:
            if address is None:
                closing.callback(remove_short_directory, run_dir)
                ray.init(
                    address="local",  # even where RAY_ADDRESS names a cluster
                    num_cpus=available_cores(),
                    include_dashboard=False,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    _temp_dir=str(make_short_directory(run_dir, _MAX_DIRECTORY_BYTES)),
                    **quiet,
                )
            else:
                _check_answers(os.environ.get("RAY_ADDRESS") or address if address == "auto" else address)
                ray.init(address=address, **quiet)
        except (OSError, RuntimeError, ValueError) as error:  # ConnectionError is an OSError
            if address is None:
                raise WorkerSetupError(f"workers: Ray could not be started: {error}") from error
            raise WorkerSetupError(
                f"workers.address: expected a running Ray cluster at {address!r}, found none: {reason(error)}; "
                "start one with `ray start --head`, or leave workers.address out"
            ) from error
        closing.callback(ray.shutdown)


def _check_answers(address: str) -> None:
    """Raise OSError where nothing answers at a `host:port`: Ray itself would try for minutes, and say so each time."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_TIMEOUT_S).close()


def check_room(nodes: Sequence[Mapping[str, float]], count: int, *, cpus: float, gpus: float) -> None:
    """Check that the nodes together have room for `count` workers; a worker cannot span nodes."""
    needs = {name: amount for name, amount in {"CPU": cpus, "GPU": gpus}.items() if amount}
    # Ray counts resources in units of 1/10000.
    fits = [
        min((math.floor(node.get(name, 0.0) / amount + 1e-6) for name, amount in needs.items()), default=count)
        for node in nodes
    ]
    if sum(fits) < count:
        found = " + ".join(f"({_amounts(node)})" for node in nodes) or "no node"
        raise WorkerSetupError(
            f"workers: expected room for {count} of ({_amounts(needs)}) each, found room for {sum(fits)} in {found}; "
            "lower workers.count, workers.cpus or workers.gpus"
        )


def await_workers(ready: Sequence[Any], timeout_s: float) -> dict[Any, RayError]:
    """Wait until every new actor says that its worker is built.

    Returns:
        What was waited for -> why its process died, of those that died.

    Raises:
        WorkerSetupError: a worker raised, or was not built in time.
    """
    end = time.monotonic() + timeout_s
    lost: dict[Any, RayError] = {}
    for one in ready:
        try:
            ray.get(one, timeout=max(0.0, end - time.monotonic()))
        except GetTimeoutError as error:
            raise WorkerSetupError(
                f"workers: {len(ready)} workers were not built within {timeout_s:g} s; free in the cluster: "
                f"{_amounts(ray.available_resources())}"
            ) from error
        except RayTaskError as error:
            raise_setup_error(error)
            raise WorkerSetupError(f"workers: a worker could not be built: {reason(error.cause or error)}") from error
        except RayError as error:
            lost[one] = error
    return lost


def raise_setup_error(error: RayTaskError) -> None:
    """Raise what an actor raised where that says that it cannot be built there, whoever's candidate waits for it."""
    if isinstance(error.cause, WorkerSetupError):
        raise WorkerSetupError(str(error.cause)) from error


def plain(error: RayError) -> str:
    """Return an error's text without colours."""
    return _ANSI_COLOUR.sub("", str(error))


def _amounts(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{resources.get(name, 0.0):g} {name}" for name in ("CPU", "GPU"))


def make_short_directory(run_dir: Path, max_bytes: int) -> Path:
    """Make `RUN_DIR/.ray`, or where that path is too long a directory elsewhere and `RUN_DIR/.ray` a link to it.

    Either way the run directory says what belongs to it: what a killed process left behind is removed first. Only one
    live process may use a run directory.

    Returns:
        An absolute path of an empty directory.
    """
    run_dir = run_dir.resolve()
    run_dir.mkdir(parents=True, exist_ok=True)
    remove_short_directory(run_dir)
    entry = run_dir / _DIRECTORY
    if len(os.fsencode(entry)) <= max_bytes:
        entry.mkdir()
        return entry
    short = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
    if len(os.fsencode(short)) > max_bytes:
        short.rmdir()
        short = Path(tempfile.mkdtemp(prefix=_PREFIX, dir="/tmp"))
    entry.symlink_to(short)
    return short


def remove_short_directory(run_dir: Path) -> None:
    """Remove what `make_short_directory` made; what is already gone is no error."""
    entry = run_dir.resolve() / _DIRECTORY
    if entry.is_symlink():
        target = entry.readlink()
        if target.name.startswith(_PREFIX):  # a link that is not ours is only unlinked
            shutil.rmtree(target, ignore_errors=True)
        entry.unlink(missing_ok=True)
    else:
        shutil.rmtree(entry, ignore_errors=True)
