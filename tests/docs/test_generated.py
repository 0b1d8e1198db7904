"""The pages that are made of the program have everything that the program has."""

from __future__ import annotations

import importlib.util
import json
from types import ModuleType

import pytest

from tests.docs.examples import ROOT


@pytest.fixture(scope="module")
def generated() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generated", ROOT / "docs" / "generated.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_campaign_reference_has_every_key_with_its_description(generated: ModuleType) -> None:
    from evomerge.config.schema import campaign_schema

    page = generated.campaign_reference()
    rows = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    schema = json.loads(campaign_schema())
    sections = [schema, *(section for section in schema["$defs"].values() if "properties" in section)]
    keys = {key for section in sections for key in section["properties"]}
    assert keys == rows.keys()
    description = schema["properties"]["allow_benchmark_test_sets"]["description"]
    assert description.splitlines()[0] in rows["allow_benchmark_test_sets"]


def test_the_command_line_reference_has_every_command_and_option(generated: ModuleType) -> None:
    import typer

    from evomerge.cli.app import app

    page = generated.command_line_reference()
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        for named in (f"{name} {below}" for below in getattr(command, "commands", {})):
            assert f"## evomerge {named}\n" in page
        assert hasattr(command, "commands") or f"## evomerge {name}\n" in page
        options = [parameter.opts[0] for parameter in command.params if parameter.param_type_name == "option"]
        assert not [option for option in options if option != "--help" and f"`{option}" not in page]
