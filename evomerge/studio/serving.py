"""Starting the studio: where it listens, who may look, what it is called in a browser."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from evomerge.errors import EvomergeError
from evomerge.studio.errors import StudioError

if TYPE_CHECKING:
    import uvicorn

    from evomerge.studio.runs import Runs

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Place:
    """Where the studio listens.

    Attributes:
        host: a name or an address of this machine; anything but loopback asks everybody for a token.
        port: 0: any that is free.
        allowed: further names that requests may be for, of a proxy before it.
        token: what has to be known; empty: one is made where one is needed.
        commands: what of `evomerge` pages may start; none: they look only.
    """

    host: str = "127.0.0.1"
    port: int = 8642
    allowed: Sequence[str] = ()
    token: str = ""
    commands: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Listening:
    """A studio that listens and answers once it runs."""

    server: uvicorn.Server
    socket: socket.socket
    address: str  # for a browser, with the token where one is asked for
    runs: Runs

    def run(self) -> None:
        """Answer until the server is told to end; the newest run is read beforehand, a large one takes seconds."""
        from evomerge.studio.runs import newest

        def prepare() -> None:
            with contextlib.suppress(EvomergeError, OSError):
                shelf = newest(self.runs)
                if shelf is not None:
                    self.runs.opened(shelf)

        threading.Thread(target=prepare, name="studio", daemon=True).start()
        with self.socket:
            self.server.run(sockets=[self.socket])


def listen(runs: Sequence[Path], place: Place) -> Listening:
    """Return the studio of some runs, its address taken.

    Raises:
        StudioError: a run is not there, the address cannot be used, or what the studio needs is not installed.
    """
    try:
        import uvicorn

        from evomerge.studio.app import make_app
        from evomerge.studio.control import Control
        from evomerge.studio.guard import Access
        from evomerge.studio.runs import Runs
    except ModuleNotFoundError as error:
        raise StudioError(
            f"evomerge studio: expected the package {error.name}, found none; pip install 'evomerge[studio]'"
        ) from error
    for path in runs:
        if not path.is_dir():
            raise StudioError(f"{path}: expected the directory of a run, or of runs, found none")
    if place.commands and len(runs) != 1:
        raise StudioError(f"--control: expected one directory, with campaigns and runs in it, found {len(runs)}")
    if place.commands and (runs[0] / "archive.sqlite").exists():
        raise StudioError(f"--control: expected a directory with campaigns and runs in it, found the run {runs[0]}")
    control = Control(runs[0], place.commands) if place.commands else None
    open_to_all = place.host in _LOOPBACK and control is None
    token = place.token or ("" if open_to_all else secrets.token_urlsafe(24))
    listening = _listening(place)
    hosts = frozenset({*place.allowed, place.host, *(() if not token else (socket.gethostname(), socket.getfqdn()))})
    found = Runs(runs if control is None else [control.directory])
    config = uvicorn.Config(
        make_app(found, Access(hosts, token), control),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        limit_concurrency=256,
        lifespan="off",
    )
    shown = f"[{place.host}]" if ":" in place.host else place.host
    address = f"http://{shown}:{listening.getsockname()[1]}/" + (f"?token={quote(token)}" if token else "")
    return Listening(uvicorn.Server(config), listening, address, found)


def _listening(place: Place) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(128)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise StudioError(
            f"{place.host}:{place.port}: cannot listen here ({why}); name another with --host and --port"
        ) from error
    return found
