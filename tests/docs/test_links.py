"""What pages point at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.examples import PACKAGES, PAGES, ROOT

GENERATED = {"campaign.md", "command_line.md"}
READ_IN_THE_REPOSITORY = [*PAGES, *sorted((ROOT / "experiments").rglob("*.md"))]
ROOMS = [
    f"{package}/{folder.name}/"
    for package in PACKAGES
    for folder in sorted((ROOT / package).iterdir())
    if (folder / "__init__.py").is_file()
]


@pytest.mark.parametrize("page", READ_IN_THE_REPOSITORY, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    missing = [
        link for link in links if link and not (page.parent / link).exists() and Path(link).name not in GENERATED
    ]
    assert not missing


def test_the_map_of_rooms_names_every_room() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert not [room for room in ROOMS if f"`{room}`" not in text]


def test_the_map_of_rooms_names_nothing_that_is_not_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:evomerge|fitness|search_spaces|tests|docs|examples)/[\w/.]*)`", text)
    assert not [path for path in named if not (ROOT / path).exists()]
