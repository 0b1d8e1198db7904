"""Programs in a terminal of a size, and what is on its screen when they end."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from dataclasses import dataclass

import pyte

ROWS = 200  # that nothing leaves the screen


@dataclass(frozen=True)
class Shown:
    """What a program left on a terminal."""

    code: int
    lines: list[str]  # of the screen
    sent: str  # every byte, also of what was drawn over


def shown(arguments: list[str], columns: int, environment: Mapping[str, str] | None = None) -> Shown:
    """Run Python with these arguments in a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    kept = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR", "CI")}
    child = {**kept, "TERM": "xterm-256color", **(environment or {})}
    with subprocess.Popen(
        [sys.executable, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=child
    ) as process:
        os.close(theirs)
        sent = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    screen = pyte.Screen(columns, ROWS)
    pyte.ByteStream(screen).feed(sent)
    lines = [line.rstrip() for line in screen.display]
    return Shown(process.returncode, [line for line in lines if line], sent.decode(errors="replace"))


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so at the end
        return b""
