"""The root of every error that is a user's to mend, the exit code that it gives, and what optional parts need."""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Iterable, Sequence
from typing import ClassVar

_LINE = 1000  # characters of one line of a message: with long paths in it, a few on a screen
_NO_MEMORY = re.compile(r"failed to map segment|(can't|cannot) allocate memory", re.IGNORECASE)
# From the beginning of a word on, and never back: linear in whatever a hostile file makes a library quote.
_LIST = re.compile(r"(?<![\w.'\"-])(?:[\w.'\"-]++, ){8,}[\w.'\"-]++")


class EvomergeError(Exception):
    """Something expected went wrong; the message says what was expected, what was found, and what to do.

    Its text has at most five lines, whoever wrote it.

    Attributes:
        exit_code: what the command line ends with: 1 the work failed, 2 wrong usage or config, 130 stopped by Ctrl-C.
    """

    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        """Return the message; of more than five lines the first ones, and how many more there are."""
        return few_lines([shortened(line, _LINE) for line in super().__str__().splitlines()])


def exit_code(error: Exception) -> int | None:
    """Return the error's own exit code, 1 for one of the operating system, None for a defect of evomerge itself."""
    if isinstance(error, EvomergeError):
        return error.exit_code
    return 1 if isinstance(error, OSError) else None


def message_of(error: Exception) -> str:
    """Return what to tell a user; of the operating system's errors the path, cut where it is very long, and the reason.

    >>> message_of(FileNotFoundError(2, "No such file or directory", "nowhere/x"))
    'nowhere/x: No such file or directory'
    """
    if isinstance(error, OSError) and error.strerror and error.filename and not isinstance(error, EvomergeError):
        return f"{shortened(str(error.filename))}: {error.strerror}"
    return str(error)


def no_memory(error: BaseException) -> str | None:
    """Return what to say where the system refused memory, in words of Python, the loader, torch or the C library."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or following.__context__
    for one in chain:
        if isinstance(one, MemoryError) or _NO_MEMORY.search(str(one)):
            return (
                f"the system gives no more memory ({in_brief(one)}): close other programs, raise the limit "
                "(`ulimit -v`, the container's), or take smaller models"
            )
    return None


class MissingExtraError(EvomergeError, ImportError):
    """What was asked for needs a library that `pip install evomerge` leaves out."""


def is_installed(library: str) -> bool:
    """Return whether a library can be imported; imports nothing."""
    return importlib.util.find_spec(library) is not None


def require(library: str, extra: str) -> None:
    """Raise a MissingExtraError, one sentence with the pip command, unless a library of an extra is installed."""
    if not is_installed(library):
        raise MissingExtraError(f"{library} is not installed and this needs it: pip install 'evomerge[{extra}]'")


def did_you_mean(word: object, known: Iterable[str], otherwise: str = "") -> str:
    """Return a hint that names the nearest known word, or `otherwise` when none is near."""
    near = _nearest(str(word), known, n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise


def _nearest(word: str, known: Iterable[str], *, n: int, cutoff: float = 0.6) -> list[str]:
    """Return the words nearest to one; first what begins with it, as cma_es with cma."""
    words, word = {other.lower(): other for other in known}, word.lower()
    begun = sorted((other for other in words if len(word) > 1 and other.startswith(word)), key=len)
    near = difflib.get_close_matches(word, words, n=n, cutoff=cutoff)
    return [words[other] for other in dict.fromkeys([*begun, *near])][:n]


def shortened(text: str, most: int = 240) -> str:
    """Return a text of at most so many characters: cut behind a sentence where one ends, else within it."""
    if len(text) <= most:
        return text
    sentence = max(text.rfind(end, most // 3, most - 4) for end in (". ", "; "))
    return f"{text[:sentence] if sentence > 0 else text[: most - 4].rstrip()} ..."


def few_lines(lines: Sequence[str], most: int = 5) -> str:
    """Return lines; of more than `most` the first ones, and how many more there are."""
    if len(lines) > most:
        lines = [*lines[: most - 1], f"and {len(lines) - most + 1} more"]
    return "\n".join(lines)


def in_brief(error: BaseException, most: int = 240) -> str:
    """Return another library's message on one short line, with the three nearest words of a long list.

    transformers ends messages with the names of the 200 classes that it has.
    """
    text = " ".join(str(error).split())
    listed = _LIST.search(text)
    if listed is None:
        return shortened(text, most) or type(error).__name__
    words = [word.strip(" '\".") for word in listed[0].split(", ")]
    asked = re.findall(r"[\w-]+(?=['`\"])", text[: listed.start()])
    few = few_of(words, asked[-1] if asked else "")
    return shortened(text[: listed.start()] + few + text[listed.end() :].rstrip("."), most)


def few_of(words: Iterable[str], asked: object, most: int = 12) -> str:
    """Return words in a row; of more than `most` the three nearest to what is asked, and how many more there are."""
    known = list(dict.fromkeys(words))
    if len(known) <= most:
        return ", ".join(known)
    near = _nearest(str(asked), known, n=3, cutoff=0.0)
    return f"{', '.join(near)} or {len(known) - len(near)} more"
