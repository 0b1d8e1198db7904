"""Hostile input for a few seconds; `make fuzz` takes minutes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.fuzz.__main__ import fuzz
from tests.fuzz.guard import Findings, outcome
from tests.fuzz.mutations import as_json
from tests.fuzz.targets import CAMPAIGN, ITEMS, MERGEKIT, TARGETS

QUICK = [name for name, target in TARGETS.items() if target.quick]
VALID: dict[str, list[bytes]] = {
    "campaign YAML": [yaml.safe_dump(CAMPAIGN).encode()],
    "mergekit YAML": [yaml.safe_dump(document).encode() for document in MERGEKIT],
    "task JSONL": ["\n".join(map(as_json, rows)).encode() for rows in ITEMS],
}


@pytest.mark.parametrize("name", QUICK)
def test_spoilt_input_is_read_or_refused_with_a_message(name: str, tmp_path: Path) -> None:
    findings = Findings()
    fuzz(name, tmp_path, start=0, examples=30, findings=findings)
    assert findings.defects == {}
    assert findings.tried[name] > 5


@pytest.mark.parametrize("name", VALID)
def test_what_is_spoilt_is_accepted_as_it_was(name: str, tmp_path: Path) -> None:
    TARGETS[name].inputs(tmp_path)
    for content in VALID[name]:
        TARGETS[name].read(content, tmp_path)


@pytest.mark.parametrize(
    ("work", "ending"),
    [
        (lambda: {}["x"], "KeyError in"),
        (lambda: [0 for _ in iter(int, 1)], "a hang in"),
        (lambda: Path("/nowhere").read_text(), "refused"),
        (lambda: None, "accepted"),
    ],
)
def test_defects_are_told_from_refusals(work: Callable[[], object], ending: str) -> None:
    assert outcome(work, seconds=0.2)[0].startswith(ending)
