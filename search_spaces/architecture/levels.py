"""Settings at a level of a config.json: of a model inside a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_TIE = "tie_word_embeddings"


def level_of(config: Mapping[str, Any], level: Sequence[str]) -> dict[str, Any]:
    """Return the settings at a level of a config; empty where it has no such level."""
    for key in level:
        config = config.get(key) or {}
    return dict(config)


def with_level(config: Mapping[str, Any], level: Sequence[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config with other settings at a level."""
    if not level:
        return dict(settings)
    return {**config, level[0]: with_level(config.get(level[0]) or {}, level[1:], settings)}


def says_tied(config: Mapping[str, Any], level: Sequence[str]) -> bool | None:
    """Return whether the settings of a model with a head, at a level, tie it to its embedding; None: they do not say.

    A level that does not say it has the top's word.
    """
    said = level_of(config, level).get(_TIE)
    return config.get(_TIE) if said is None else said


def with_tie(config: Mapping[str, Any], level: Sequence[str], *, tied: bool) -> dict[str, Any]:
    """Return a config that ties the head to the embedding, or says that they are two."""
    return with_level(config, level, {**level_of(config, level), _TIE: tied})
