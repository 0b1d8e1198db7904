"""Chat templates are rendered in a process of their own, with limits: they come with checkpoints, which strangers made.

The sandbox of jinja2 stops code, not loops: a template may go on for ever, or fill the memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from fitness.engine.model import template_child
from fitness.errors import FitnessError, shortened

_QUIET = {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"}
_MOST_MORE = 200_000  # characters that a template may add to what is said
_FILES = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")


def template_process() -> TemplateProcess:
    """Return the one of this process."""
    return _process_of(os.getpid())


@lru_cache(maxsize=1)
def _process_of(_: int) -> TemplateProcess:
    return TemplateProcess()


class TemplateProcess:
    """A process that renders; it starts at once, and ends when it is forgotten. Any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", template_child.__file__],  # -P: beside the script lie modules of common names
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_QUIET},
        )
        self._end = weakref.finalize(self, _end, self._process)

    def render(self, tokenizer: Any, messages: Sequence[Mapping[str, Any]], arguments: Mapping[str, Any]) -> str:
        """Return messages as text, by a tokenizer's chat template.

        Raises:
            TemplateError: of jinja2, by the template itself.
            FitnessError: it takes too long or too much memory, or goes wrong; the message names its file.
        """
        from jinja2 import TemplateError

        said = {
            "templates": tokenizer.chat_template,
            "special_tokens": dict(tokenizer.special_tokens_map),
            "arguments": {"conversation": list(messages), **arguments},
        }
        try:
            request = json.dumps(said).encode()
        except (TypeError, ValueError) as error:
            raise FitnessError(f"chat_template_args: expected what JSON can say ({error})") from error
        found = self._ask(request)
        text = str(found.get("text", ""))
        reason = _why_no_prompt(text, request) if "text" in found else shortened(str(found.get("error")))
        if not reason:
            return text
        if found.get("kind") == "template":
            raise TemplateError(reason)
        raise FitnessError(f"{template_file(tokenizer)}: expected a chat template that renders a prompt, but {reason}")

    def _ask(self, request: bytes) -> Mapping[str, str]:
        with self._lock:
            if self._process.poll() is not None:
                self._end()
                self._start()
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            line = b""
            try:
                self._process.stdin.write(request + b"\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
            except BrokenPipeError:
                pass
            if line.endswith(b"\n"):
                answer: Mapping[str, str] = json.loads(line)
                return answer
            self._process.wait()
        return {"error": f"it takes more than {template_child.SECONDS:g} s (it ended by {-self._process.returncode})"}


def _why_no_prompt(text: str, request: bytes) -> str:
    """Return what is wrong with a rendered text, in view of what was asked for; empty where nothing is."""
    most = _MOST_MORE + 10 * len(request)
    if len(text) > most:
        return f"it makes {len(text):,} characters of what takes {most:,} at most"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"it makes half a surrogate pair at character {error.start}"
    return ""


def _end(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.wait()


def template_file(tokenizer: Any) -> str:
    """Return the file that a tokenizer's chat template comes from, as far as that can be told."""
    directory = Path(str(getattr(tokenizer, "name_or_path", "")))
    return next((str(directory / name) for name in _FILES if (directory / name).is_file()), "the tokenizer's files")
