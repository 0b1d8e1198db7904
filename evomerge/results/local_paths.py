"""What is passed on names files of this machine by their last names: a home directory has its owner's name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

from evomerge.archive.campaign_text import campaign_settings
from search_spaces.recipes.recipe import ParentSource, Recipe

# The directories of an absolute path within a text; of addresses (https://...) nothing.
_DIRECTORIES = re.compile(r"""(?<![\w./<>-])(?:file://|~|[A-Za-z]:)?(?:[/\\][^\s/\\'",:;<>]+)+[/\\]""")


def is_local(text: str) -> bool:
    """Return whether a text as a whole is an absolute path, or one from the home or a directory above.

    >>> is_local("/models/words"), is_local("../words"), is_local("org/words"), is_local("./words")
    (True, True, False, False)
    """
    return "\n" not in text and (text.startswith(("/", "~", "../")) or PureWindowsPath(text).is_absolute())


def last_name(path: str) -> str:
    """Return a path's last name; of what is no path from elsewhere than here, itself.

    >>> last_name("/home/ada/my models/words/"), last_name("org/words"), last_name("./words")
    ('words', 'org/words', './words')
    """
    if not is_local(path):
        return path
    return PureWindowsPath(path).name if "\\" in path else PurePath(path).name


def without_directories(data: Any, mark: str = "") -> Any:
    """Return plain data in which no text has the directories of an absolute path; `mark` stands for them in a text.

    >>> without_directories({"model": "/home/ada/my words", "log": "see /home/ada/log.txt"})
    {'model': 'my words', 'log': 'see log.txt'}
    """
    if isinstance(data, str):
        if is_local(data):
            return mark + last_name(data)
        return _DIRECTORIES.sub(mark, data.replace(f"{Path.home()}/", mark))
    if isinstance(data, Mapping):
        return {key: without_directories(value, mark) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [without_directories(value, mark) for value in data]
    return data


def yaml_without_directories(text: str) -> str:
    """Return YAML, as a campaign's, without the directories of absolute paths; as it is where there are none."""
    import yaml

    settings = campaign_settings(text)
    cleaned = without_directories(dict(settings))
    if cleaned == settings:
        return text if settings else str(without_directories(text))
    return yaml.safe_dump(cleaned, sort_keys=False, allow_unicode=True, width=120)


def public(recipe: Recipe) -> Recipe:
    """Return the recipe with parents of this machine under their last names: to be carried out where they lie."""
    return replace(recipe, parents={name: _public(source) for name, source in recipe.parents.items()})


def _public(source: ParentSource) -> ParentSource:
    adapter = None if source.adapter is None else last_name(source.adapter)
    return replace(source, model=last_name(source.model), adapter=adapter)
