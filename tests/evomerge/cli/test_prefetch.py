"""`evomerge prefetch`: a campaign's parents are here, and are those that its search began with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from search_spaces.parents.content import file_digest


def test_parents_are_listed_and_one_that_was_edited_since_is_refused_by_its_name(
    evomerge, campaign_file, family
) -> None:
    expert = next(iter(family.experts))
    own = Path(shutil.copytree(family.experts[expert], campaign_file().parent / "own"))
    path = campaign_file(parents=[{"name": expert, "model": str(own)}, *others(family, expert)], landmarks="none")
    shown = evomerge("prefetch", path)
    assert shown.code == 0
    assert expert in shown.out
    assert "local" in shown.out
    run = path.parent / "run"
    assert evomerge("run", path, "--run-dir", run, "--evaluations", 1).code == 0
    assert evomerge("prefetch", run).code == 0
    config = json.loads((own / "config.json").read_text())
    before = file_digest(own / "config.json")
    (own / "config.json").write_text(json.dumps({**config, "edited": True}))
    assert file_digest(own / "config.json") != before
    edited = evomerge("prefetch", run)
    assert edited.code == 1
    assert f"parent {expert!r}: config.json changed" in edited.err


def others(family, expert: str) -> list[dict[str, str]]:
    return [{"name": name, "model": str(path)} for name, path in family.experts.items() if name != expert]
