"""When a written answer is right."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache, reduce
from typing import Any, Literal, TypeAlias, get_args

from fitness.errors import FitnessError

Match: TypeAlias = Literal["exact", "contains", "regex", "number", "choice"]
Normalise: TypeAlias = Literal["case", "punctuation", "articles", "whitespace", "unicode"]
MATCHES: tuple[Match, ...] = get_args(Match)

REGEX_SECONDS = 1.0  # that a pattern may search one completion for; it is wrong then
_NUMBER = re.compile(r"(?<![\w.])[-+]?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\w)")
_LETTERS = string.ascii_uppercase


def is_right(match: Match, completion: str, answers: Sequence[str], choices: Sequence[str] = ()) -> bool:
    r"""Return whether a completion says one of the answers.

    exact: it is the answer, spaces around aside. contains: the answer stands in it, as whole words. regex: the answer
    is a pattern (of the module `regex`) that is found in it. number: the last number in it equals the last one in the
    answer. choice: the letter that it names, or the one choice whose words stand in it, is the answer's.

    >>> is_right("exact", " 12\n", ["12"]), is_right("contains", "I know.", ["no"])
    (True, False)
    >>> is_right("number", "6 * 7 = 42, so it costs $1,042.00.", ["1042"])
    True
    >>> is_right("choice", "The answer is (B).", ["B"], ["red", "blue"])
    True

    Raises:
        FitnessError: an answer is no pattern.
    """
    return any(_MATCHES[match](completion, answer, choices) for answer in answers)


def normalised(text: str, steps: Iterable[Normalise]) -> str:
    """Return a text after steps, in their order.

    case: without a difference of case; punctuation: without ASCII's; articles: without a, an, the; whitespace: one
    space for each run, none around; unicode: compatible characters as one (NFKC).

    >>> normalised("The  cat!", ["case", "punctuation", "articles", "whitespace"])
    'cat'
    """
    return reduce(lambda so_far, step: STEPS[step](so_far), steps, text)


def number_in(text: str) -> Decimal | None:
    """Return the last number of a text; None where there is none.

    >>> number_in("#### 1,234.50"), number_in("none")
    (Decimal('1234.50'), None)
    """
    found = _NUMBER.findall(text)
    return Decimal(found[-1].replace(",", "").replace("$", "")) if found else None


def letter_in(text: str, choices: Sequence[str]) -> str | None:
    """Return the letter of the choice that a text names: after "answer", else alone, else by the choice's words.

    >>> letter_in("A dog, so (B)", ["cat", "dog"]), letter_in("it is a dog", ["cat", "dog"])
    ('B', 'B')
    """
    known, text = _LETTERS[: len(choices)] or _LETTERS, text.replace("*", "")  # marks of bold type
    said = re.findall(rf"(?i:answer(?:\s+is)?)\s*:?\s*\(?([{known}])(?![\w'])", text)
    if said:
        return str(said[-1])
    alone = re.search(rf"\(([{known}])\)|(?<![\w'])([{known}])(?=[.):,]|\s*$)", text)
    if alone:
        return alone[1] or alone[2]
    named = [letter for letter, choice in zip(_LETTERS, choices, strict=False) if _stands_in(choice.casefold(), text)]
    return named[0] if len(named) == 1 else None


def check_pattern(text: str) -> None:
    """Raise FitnessError where a text is no pattern."""
    _pattern(text)


def _stands_in(words: str, text: str) -> bool:
    return _has_words(text.casefold(), words.strip())


def _has_words(text: str, words: str) -> bool:
    left = r"(?<!\w)" if words[:1].isalnum() else ""
    right = r"(?!\w)" if words[-1:].isalnum() else ""
    return bool(words) and re.search(left + re.escape(words) + right, text) is not None


def _exact(completion: str, answer: str, _: Sequence[str]) -> bool:
    return completion.strip() == answer.strip()


def _contains(completion: str, answer: str, _: Sequence[str]) -> bool:
    return _has_words(completion, answer.strip())


def _regex(completion: str, answer: str, _: Sequence[str]) -> bool:
    try:
        return _pattern(answer).search(completion, timeout=REGEX_SECONDS) is not None
    except TimeoutError:
        return False


def _number(completion: str, answer: str, _: Sequence[str]) -> bool:
    said = number_in(completion)
    return said is not None and said == number_in(answer)


def _choice(completion: str, answer: str, choices: Sequence[str]) -> bool:
    return letter_in(completion, choices) == answer.strip().upper()


@lru_cache(maxsize=4096)
def _pattern(text: str) -> Any:
    import regex  # it can be given a time

    try:
        return regex.compile(text)
    except regex.error as error:
        raise FitnessError(f"expected a regular expression, found {text!r}: {error}") from error


_MATCHES: Mapping[Match, Callable[[str, str, Sequence[str]], bool]] = {
    "exact": _exact,
    "contains": _contains,
    "regex": _regex,
    "number": _number,
    "choice": _choice,
}
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
STEPS: Mapping[Normalise, Callable[[str], str]] = {
    "case": str.casefold,
    "punctuation": lambda text: text.translate(_NO_PUNCTUATION),
    "articles": lambda text: re.sub(r"\b(?:a|an|the)\b", "", text, flags=re.IGNORECASE),
    "whitespace": lambda text: " ".join(text.split()),
    "unicode": lambda text: unicodedata.normalize("NFKC", text),
}
