"""Changes to a campaign file's data before it is checked: `--set space.groups.layer_blocks=3`, `set={...}`."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evomerge.config.errors import ConfigError, ConfigProblem
from evomerge.config.yaml_document import parse_yaml
from evomerge.errors import shortened
from evomerge.wording import in_words

Overrides = Mapping[str, object] | Sequence[str]
_SPELLINGS = {"optimiser": "optimizer", "optimizer": "optimiser"}
_DEEPEST = 64  # sections inside each other
_DIGITS = 9  # of the number of an entry


def with_overrides(data: Mapping[str, Any], overrides: Overrides) -> dict[str, Any]:
    """Return the data with some keys set; sections on the way that are missing are made.

    >>> with_overrides({"seed": 0}, ["budget.evaluations=50", "seed=3"])
    {'seed': 3, 'budget': {'evaluations': 50}}
    >>> with_overrides({"seed": 0}, {"space.genes.weight": [0, 2]})
    {'seed': 0, 'space': {'genes': {'weight': [0, 2]}}}

    Args:
        data: of a campaign file.
        overrides: dotted key -> value, or texts `key=value`, the value in YAML; entries of lists are counted from 0.

    Raises:
        ConfigError: a text that is no `key=value`, or a key that leads through something other than a section.
    """
    changed = copy.deepcopy(dict(data))
    for key, value, text in parsed(overrides):
        _set(changed, key, value, text)
    return changed


def parsed(overrides: Overrides) -> Iterator[tuple[str, object, str]]:
    """Yield (dotted key, value, how it was written) of each override."""
    if isinstance(overrides, Mapping) and all(isinstance(key, str) for key in overrides):
        yield from ((key, value, f"{key}={value}") for key, value in overrides.items())
        return
    texts = [overrides] if isinstance(overrides, str) else overrides
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise _refused("set", "keys and values, as {'budget.hours': 2} or ['budget.hours=2']", repr(overrides))
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not all(key.split(".")) or key.count(".") > _DEEPEST:
            raise _refused(text, "KEY=VALUE, such as budget.evaluations=50", shortened(repr(text)))
        try:
            yield key, parse_yaml(value).data, text
        except ConfigError as error:
            raise _refused(text, "a value in YAML", error.problems[0].found) from None


def _set(data: dict[str, Any], key: str, value: object, text: str) -> None:
    at: Any = data
    *sections, last = key.split(".")
    for part in sections:
        if isinstance(at, dict):
            spelt = _spelt(part, at)
            if at.get(spelt) is None:
                at[spelt] = {}
            at = at[spelt]
        else:
            at = _entry(at, part, text)
    if isinstance(at, dict):
        at[_spelt(last, at)] = value
    else:
        _entry(at, last, text)
        at[int(last)] = value


def _spelt(key: str, section: Mapping[str, Any]) -> str:
    """Return a key as the file spells it."""
    other = _SPELLINGS.get(key)
    return other if other is not None and other in section else key


def _entry(at: object, part: str, text: str) -> Any:
    if isinstance(at, list) and part.isdecimal() and len(part) <= _DIGITS and int(part) < len(at):
        return at[int(part)]
    found = f"a list of {len(at)}" if isinstance(at, list) else in_words(at or None)
    raise _refused(text, f"sections with the key {shortened(part, 60)}", found)


def _refused(text: str, expected: str, found: str) -> ConfigError:
    return ConfigError(None, [ConfigProblem(shortened(text), None, expected, found)])
