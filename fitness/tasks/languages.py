"""Which language a completion is in, told by py3langid (the extra `languages`), without a network."""

from __future__ import annotations

from functools import cache
from typing import Any

from fitness.errors import FitnessError, did_you_mean, require


def is_in(language: str, text: str) -> bool:
    """Return whether a text is most likely in a language (ISO 639-1); one without letters is in none.

    >>> is_in("de", "Wie viele Äpfel hat sie dann noch übrig?")
    True
    """
    return any(map(str.isalpha, text)) and _identifier().classify(text)[0] == language


def check_language(language: str) -> None:
    """Raise FitnessError where a code is not one of those that can be told."""
    known = sorted(_identifier().labels)
    if language not in known:
        hint = did_you_mean(language, known, "as en, de, ja")
        raise FitnessError(f"language: expected a code of ISO 639-1, found {language!r}; {hint}")


@cache
def _identifier() -> Any:
    require("py3langid", "languages")
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)
