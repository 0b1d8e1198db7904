"""What runs inside the sandbox: calls one function of a file, each time in a process of its own.

Run as a script, `python -I runner.py FILE FUNCTION SECONDS BYTES MODULES`; of evomerge's it can see nothing. It reads
one JSON list a line, [arguments, keywords], and answers with one, {"value": ...}, {"error": ...} or {"stopped": ...}.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def load(file: str, name: str) -> Callable[..., Any]:
    """Return the function, its file's folder being where its own imports come from, as lm-eval loads it."""
    sys.path.insert(0, str(Path(file).parent))
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[Path(file).stem] = module
    spec.loader.exec_module(module)
    found: Callable[..., Any] = getattr(module, name)
    return found


def called(function: Callable[..., Any], line: str, seconds: float, n_bytes: int) -> str:
    """Return the answer to a line; whatever the call started has ended then."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.closerange(3, writable)  # among them where answers go: nothing but its own can be forged
        os.closerange(writable + 1, 1024)
        resource.setrlimit(resource.RLIMIT_AS, (_size() + n_bytes,) * 2)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 24,) * 2)
        try:
            arguments, keywords = json.loads(line)
            answer = {"value": function(*arguments, **keywords)}
            text = json.dumps(answer)
        except BaseException as error:
            text = json.dumps({"error": f"{type(error).__name__}: {error}"[:2000]})
        os.write(writable, text.encode("utf-8", "replace"))
        os._exit(0)
    os.close(writable)
    try:
        return _received(readable, seconds)
    finally:
        os.close(readable)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _received(readable: int, seconds: float) -> str:
    """Return what a call's process says before it ends, or the time is over."""
    end = time.monotonic() + seconds
    parts: list[bytes] = []
    while True:
        left = end - time.monotonic()
        if left <= 0 or not select.select([readable], [], [], left)[0]:
            return json.dumps({"stopped": f"it took more than {seconds:g} s"})
        part = os.read(readable, 1 << 16)
        if not part:
            text = b"".join(parts).decode("utf-8", "replace")
            return text or json.dumps({"stopped": "its process was ended, for want of memory or by itself"})
        parts.append(part)


def _size() -> int:
    """Return the bytes of address space that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def main() -> None:
    """Answer until there is nothing more to read; what the code prints goes nowhere."""
    file, name, seconds, n_bytes, modules = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    try:
        if Path(modules).is_dir():  # libraries write beside what they read
            shutil.copytree(modules, Path(os.environ["HF_HOME"], "modules"))
        function = load(file, name)
    except BaseException as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"[:2000]}), file=answers, flush=True)
        return
    print(json.dumps({"value": "ready"}), file=answers, flush=True)
    for line in sys.stdin:
        print(" ".join(called(function, line, float(seconds), int(n_bytes)).split("\n")), file=answers, flush=True)


if __name__ == "__main__":
    main()
