"""Pages of the site that are made of the program itself: a hook of mkdocs.

The campaign reference comes from the config classes' JSON schema, which has each key's type, default and docstring; the
command line from the commands. They are made at each build, so that they are never out of date.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
_ALONE = "; or a kind's name alone"
_CAMPAIGN_HEAD = """\
# The campaign file

One search, from its inputs to its export, as YAML. `evomerge init` writes a commented one, `evomerge plan` checks it
and says what it means for your models. With the line `# yaml-language-server: $schema=...` that `init` writes on top,
editors complete and check keys. Every key below can also be given on the command line, as in
`evomerge run campaign.yaml --set budget.evaluations=400`, and to [`evomerge.search`](python.md) as an argument.
`optimizer` is read as `optimiser`.

This page is made of the classes that read the file.
"""
_COMMANDS_HEAD = """\
# The command line

`evomerge COMMAND --help` says the same; `evomerge --version` prints the version, `evomerge --install-completion`
lets the shell complete commands and options. Exit codes: 0 done; 1 the work failed, with one clear message; 2 wrong
usage or campaign file, with its first errors at once. What `--json` prints is for programs.

This page is made of the commands.
"""


def on_files(files: Any, config: Any) -> Any:
    """Add the pages; mkdocs calls this."""
    from mkdocs.structure.files import File

    pages = {"reference/campaign.md": campaign_reference(), "reference/command_line.md": command_line_reference()}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def campaign_reference() -> str:
    """Return the page of the campaign file: one table for each section, one row for each key."""
    from evomerge.config.schema import campaign_schema

    schema = json.loads(campaign_schema())
    sections = dict(_sections(schema))
    anchors = {name: _anchor(_title(name, section)) for name, section in sections.items()}
    parts = [_CAMPAIGN_HEAD, "## Top level {#top-level}\n", _table(schema, anchors, sections)]
    for name, section in sections.items():
        title = f"## {_title(name, section)} {{#{anchors[name]}}}\n"
        parts += [title, _prose(section.get("description", "")) + "\n", _table(section, anchors, sections)]
    return "\n".join(parts)


def _sections(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield (class, its schema) in the order in which a reader of the file comes to them."""
    seen = set()

    def below(part: Any) -> Iterator[tuple[str, Schema]]:
        for name in re.findall(r'"\$ref": "#/\$defs/(\w+)"', json.dumps(part)):
            section = schema["$defs"][name]
            if name not in seen and "properties" in section:
                seen.add(name)
                yield name, section
                yield from below(section)

    yield from below(schema["properties"])


def _title(name: str, section: Schema) -> str:
    kind = section["properties"].get("kind", {})
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", re.sub("^_|Config$|Options$", "", name)).lower()
    if words == "outside":
        return "A kind of another package"
    return f"`kind: {kind['const']}`" if "const" in kind else words.capitalize()


def _anchor(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower()).strip("-")


def _table(section: Schema, anchors: Mapping[str, str], sections: Mapping[str, Schema]) -> str:
    required = section.get("required", ())
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for key, value in section["properties"].items():
        default = "**required**" if key in required else _default(value)
        its_own = sections.get(value.get("$ref", "").rpartition("/")[2], {}).get("description", "")
        cells = (f"`{key}`", _kind(value, anchors), default, _prose(value.get("description", its_own)))
        rows.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _default(value: Schema) -> str:
    """Return a key's default; that of a section whose keys have defaults of their own is not repeated."""
    default = value.get("default")
    if default is None or default in ([], {}) or isinstance(default, dict):
        return ""
    return f"`{json.dumps(default, ensure_ascii=False)}`".replace('"', "")


def _kind(value: Schema, anchors: Mapping[str, str]) -> str:  # noqa: PLR0911 -- one line for each kind
    """Return in words what a key may hold."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{_link_text(anchors[name])}](#{anchors[name]})" if name in anchors else "any value"
    if "anyOf" in value or "oneOf" in value:
        choices = [one for one in value.get("anyOf", value.get("oneOf", ())) if one.get("type") != "null"]
        sections = [one for one in choices if "$ref" in one or "oneOf" in one]
        if len(sections) > 1 or any("oneOf" in one for one in sections):  # beside sections: a kind's name alone
            kinds = [_kind(one, anchors).removesuffix(_ALONE) for one in sections]
            return " or ".join(kinds) + _ALONE
        kinds = [_kind(one, anchors) for one in choices]
        if len(kinds) == 2 and kinds[1] == f"list of {kinds[0]}":
            return f"{kinds[0]}; or a list"
        return " or ".join(dict.fromkeys(kinds))
    if "task_arithmetic" in value.get("enum", ()):
        return "[an operator](../operators.md)"
    if "enum" in value:
        return ", ".join(f"`{name}`" for name in value["enum"])
    if "const" in value:
        return f"`{json.dumps(value['const'])}`".replace('"', "")
    if value.get("type") == "array":
        if "prefixItems" in value:
            return f"`[{', '.join('number' for _ in value['prefixItems'])}]`"
        return f"list of {_kind(value.get('items', {}), anchors)}"
    if value.get("type") == "object":
        return "mapping"
    names = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    return names.get(value.get("type", ""), "any value") + _bounds(value)


def _link_text(anchor: str) -> str:
    return anchor.removeprefix("kind-").replace("-", " ").replace("a kind of", "one of")


def _bounds(value: Schema) -> str:
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    said = [f"{sign} {value[key]:g}" for key, sign in signs.items() if key in value]
    return " " + ", ".join(said) if said else ""


def _prose(text: str) -> str:
    """Return a docstring as Markdown: what stands in braces or brackets is code."""
    pieces = re.split(r"(`[^`]*`)", text)
    bare = [re.sub(r"(\{[^{}]*\}|\[[^\[\]]*\])", r"`\1`", piece) for piece in pieces[::2]]
    return "".join(piece for pair in zip(bare, [*pieces[1::2], ""], strict=True) for piece in pair)


def _commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command with its name, that of its group in front."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def command_line_reference() -> str:
    """Return the page of the command line: what each command does, its arguments and options."""
    import typer

    from evomerge.cli.app import app

    program = typer.main.get_command(app)
    parts = [_COMMANDS_HEAD]
    for name, command in _commands(program):
        parts += [f"## evomerge {name}\n", *_described(command)]
    return "\n".join(parts)


def _described(command: Any) -> list[str]:
    """Return what a command does, and its arguments and options as a table."""
    rows = ["| option | meaning | default |", "|---|---|---|"]
    for parameter in command.params:
        if parameter.name == "help":
            continue
        is_option = parameter.param_type_name == "option"
        named = (
            [*parameter.opts, parameter.metavar or ""] if is_option else [parameter.metavar or parameter.name.upper()]
        )
        called = " ".join(filter(None, named))
        meaning = (getattr(parameter, "help", None) or "").replace("|", "\\|")
        default = parameter.default if is_option and parameter.default not in (None, False, ()) else ""
        rows.append(f"| `{called}` | {meaning} | {f'`{default}`' if default != '' else ''} |")
    return [(command.help or "").strip() + "\n", "\n".join(rows) + "\n" if len(rows) > 2 else ""]
