"""The process that renders chat templates, started by `template_process` as a script: limits on time, memory and size.

It reads one request a line from its input and writes one answer a line, both JSON. It takes nothing from this package:
without torch it starts in under a second.
"""

import json
import os
import resource
import signal
import sys
from typing import Any, BinaryIO

SECONDS = 2.0  # of this process's own time, at once
SECONDS_A_PROMPT = 0.02  # by which they fill up again
MEMORY = 2**30  # bytes beyond what it has at its start
CHARACTERS = 2**24  # of one prompt


class _Tokenizer:
    """As much of a tokenizer of transformers as its chat template needs."""

    def __init__(self, said: dict[str, Any]) -> None:
        from transformers import PreTrainedTokenizerBase

        self.chat_template = said["templates"]
        self.special_tokens_map = said["special_tokens"]
        self._render = PreTrainedTokenizerBase.apply_chat_template
        self._choose = PreTrainedTokenizerBase.get_chat_template

    def get_chat_template(self, *arguments: Any, **named: Any) -> Any:
        return self._choose(self, *arguments, **named)

    def render(self, arguments: dict[str, Any]) -> str:
        return str(self._render(self, tokenize=False, **arguments))


def answer(request: dict[str, Any]) -> dict[str, str]:
    """Return the text of a request, or the error in words and its kind: the template's own (jinja2), or another."""
    from jinja2 import TemplateError

    try:
        text = _Tokenizer(request).render(request["arguments"])
    except TemplateError as error:
        return {"kind": "template", "error": str(error)}
    except MemoryError:
        return {"kind": "limit", "error": f"it takes more than {MEMORY >> 20} MiB of memory"}
    except RecursionError:
        return {"kind": "limit", "error": "it calls itself without end"}
    except Exception as error:  # whatever a template does to what it is given
        return {"kind": "other", "error": str(error) or type(error).__name__}
    if len(text) > CHARACTERS:
        return {"kind": "limit", "error": f"its text is longer than {CHARACTERS:,} characters"}
    return {"text": text}


def main(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more, or the time is over: the signal ends the process."""
    for missing in ("torch", "PIL"):
        sys.modules[missing] = None  # type: ignore[assignment]
    import transformers  # noqa: F401

    with open("/proc/self/statm" if os.path.exists("/proc/self/statm") else os.devnull, encoding="ascii") as file:
        pages = int((file.read() or "0").split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    left = SECONDS
    for line in requests:
        signal.setitimer(signal.ITIMER_PROF, left)
        found = json.dumps(answer(json.loads(line))).encode()
        left = min(signal.setitimer(signal.ITIMER_PROF, 0.0)[0] + SECONDS_A_PROMPT, SECONDS)
        answers.write(found + b"\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
