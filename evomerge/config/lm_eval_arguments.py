"""Which task files lm-eval's own command line is told of: any of them may name code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from evomerge.config.code import NamedCode
from evomerge.config.errors import ConfigError
from evomerge.config.yaml_document import read_yaml

_SHORT = {"-t": "--tasks", "-C": "--config"}


def named_task_files(arguments: Sequence[str]) -> list[NamedCode]:
    """Return the YAML files, and the directories with some, that arguments of `lm-eval` name; nothing is loaded."""
    found = list(_placed(arguments))
    for config in [Path(text).expanduser() for option, text in found if option == "--config"]:
        try:
            settings = read_yaml(config).data
        except ConfigError:  # lm-eval will say so
            continue
        for key in ("tasks", "include_path"):
            value = settings.get(key) if isinstance(settings, Mapping) else None
            listed = value if isinstance(value, list) else [value]
            found += [(f"--{key}", text) for text in listed if isinstance(text, str)]
    wanted = [(option, text) for option, text in found if option != "--config"]
    separators = {"--tasks": ",", "--include_path": ":"}
    named = [(option, part) for option, text in wanted for part in text.split(separators[option])]
    return [
        NamedCode(option, part, Path(part).expanduser()) for option, part in named if Path(part).expanduser().exists()
    ]


def _placed(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (option, value) of the options that name places, which argparse lets people shorten."""
    option = ""
    for argument in arguments:
        if argument.startswith("-"):
            given, _, value = argument.partition("=")
            short = next((name for name in _SHORT if argument.startswith(name)), "")
            if short:
                value = argument.removeprefix(short).removeprefix("=")
            option = _SHORT.get(short) or next(
                (o for o in ("--tasks", "--include_path", "--config") if len(given) > 3 and o.startswith(given)), ""
            )
            if option and value:
                yield option, value
        elif option:
            yield option, argument
