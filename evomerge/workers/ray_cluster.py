"""A Ray of our own or an existing cluster: connected to, checked for room, and left as it was; alone imports Ray.

Ray's temporary files lie in a directory that belongs to the run, with a path short enough for unix sockets.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path

from evomerge.workers.nodes import Node
from evomerge.workers.protocol import ClusterLostError, WorkerSetupError
from evomerge.workers.threads import available_cores
from evomerge.workers.worker import reason

# Ray reads both when it is imported: nothing is sent home, and the raylet's messages do not go to our stdout.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")
import ray
from ray.exceptions import (
    ActorUnavailableError,
    LocalRayletDiedError,
    NodeDiedError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
    TaskCancelledError,
)

_DIRECTORY = ".ray"
_PREFIX = "evomerge-ray-"
_OBJECT_STORE_BYTES = 80 * 2**20  # Ray's least is 75 MiB; only item scores pass through it
_SOCKET = "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
_MAX_DIRECTORY_BYTES = 103 - len(_SOCKET)  # a socket's path: 107 bytes on Linux, 103 on macOS
_CONNECT_TIMEOUT_S = 10.0
_HEAD_ANSWERS_S = 2.0
_HEAD_GONE_S = 10.0  # a head that is started again elsewhere may come back; Ray itself gives up after 60 s
_NODE_DIED = "because its node has died"
_ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

__all__ = ["HeadWatch", "RayError", "RayTaskError", "cluster_nodes", "connect", "plain", "ray"]


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


def cluster_nodes() -> list[Node]:
    """Return the nodes of the cluster, those that died among them."""
    return list(ray.nodes())


class HeadWatch:
    """Notices that the cluster's head is gone before Ray does, whose C++ ends this process after a minute."""

    def __init__(self) -> None:
        address = None if ray.util.client.ray.is_connected() else ray.get_runtime_context().gcs_address
        self._host, _, self._port = str(address or "").rpartition(":")
        self._gone_since: float | None = None

    def look(self) -> bool:
        """Return whether the head can be reached.

        Raises:
            ClusterLostError: it has not answered for some time.
        """
        if not self._port.isdecimal():  # a client of Ray's, whose server notices it
            return True
        try:
            socket.create_connection((self._host.strip("[]"), int(self._port)), timeout=_HEAD_ANSWERS_S).close()
        except OSError:
            now = time.monotonic()
            self._gone_since = self._gone_since or now
            if now - self._gone_since >= _HEAD_GONE_S:
                raise ClusterLostError(
                    f"workers: the cluster's head at {self._host}:{self._port} is gone; everything is saved: "
                    "start the cluster again, then run the same command again"
                ) from None
            return False
        self._gone_since = None
        return True


def of_its_node(error: RayError) -> bool:
    """Return whether a worker was lost for its node's sake: it is gone or out of reach, or its memory ran out."""
    lost = (ActorUnavailableError, NodeDiedError, OutOfMemoryError, LocalRayletDiedError)
    if isinstance(error, RayTaskError):  # what the worker raised
        return False
    return isinstance(error, lost) or _NODE_DIED in str(error) or bool(getattr(error, "preempted", False))


def interrupted(error: RayError) -> bool:
    """Return whether somebody sent a worker's process a Ctrl-C; Ray calls it a task that was cancelled."""
    return isinstance(error, TaskCancelledError) or isinstance(getattr(error, "cause", None), TaskCancelledError)


def explained(error: RayError) -> str:
    """Return in a line what became of a worker."""
    cause = getattr(error, "cause", None)
    if interrupted(error):
        return "the worker was interrupted (KeyboardInterrupt, as by Ctrl-C)"
    if isinstance(error, OutOfMemoryError):
        return "its node had no memory left, and Ray ended the worker"
    if of_its_node(error):
        return "the worker's node was lost, or is out of reach"
    if isinstance(error, RayTaskError):
        return f"the worker raised: {reason(cause or error)}"
    return "the worker's process died; often the system ran out of memory"


def plain(error: RayError) -> str:
    """Return an error's text without colours."""
    return _ANSI_COLOUR.sub("", str(error))


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
