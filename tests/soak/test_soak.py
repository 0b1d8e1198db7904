"""The soak itself, for a few seconds: it survives, it counts, and it sees what is lost."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.soak.__main__ import main
from tests.soak.faults import Fault
from tests.soak.place import Place
from tests.soak.tally import Tally


def test_a_few_rounds_of_kills_survive_and_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--rounds", "2", "--seed", "3", "--only", "SIGKILL of a toy", "--json", str(tmp_path / "counts.json")]
    assert main(options) == 0
    counts = json.loads((tmp_path / "counts.json").read_text())
    kind = "SIGKILL of a toy campaign"
    assert counts["tried"] == counts["survived"] == {kind: 2}
    assert counts["kills"] == counts["sent"].get(kind, {}).get("SIGKILL", 0)
    assert f"| **all** | 2 | 2 | {counts['kills']} SIGKILL |" in capsys.readouterr().out


def test_what_does_not_survive_is_told_with_the_way_to_repeat_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def loses(place: Place, chance: random.Random) -> None:
        place.subject = "a candidate"
        raise AssertionError(f"lost {chance.randint(0, 9)}")

    options = ["--rounds", "1", "--seed", "4", "--scratch", str(tmp_path)]
    assert main(options, {"one that loses": Fault(loses)}) == 1
    out = capsys.readouterr().out
    assert "LOST one that loses (a candidate) --seed 4 --round 1, " in out
    assert "| one that loses | 1 | 0 |  |" in out
    assert (tmp_path / "round-1").is_dir()


def test_the_table_adds_up() -> None:
    tally = Tally()
    tally.tried.update({"a": 3, "b": 1})
    tally.survived.update({"a": 2, "b": 1})
    tally.sent.update({("a", "SIGKILL"): 4, ("b", "SIGKILL"): 1, ("b", "SIGTERM"): 2})
    assert tally.kills == 5
    assert tally.table().splitlines()[2:] == [
        "| a | 3 | 2 | 4 SIGKILL |",
        "| b | 1 | 1 | 1 SIGKILL, 2 SIGTERM |",
        "| **all** | 4 | 3 | 5 SIGKILL, 2 SIGTERM |",
    ]
