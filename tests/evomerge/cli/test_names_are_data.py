"""Names are shown as they are written: no markup, no control characters, on the terminal, page, card and in the log."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import logging
import re
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomerge.archive import Archive
from evomerge.campaign.run_directory import RunDirectory
from evomerge.cli.terminal import Terminal, plain_table, print_warnings
from evomerge.visible import STEERING, visible
from tests.conftest import Family
from tests.evomerge.archives import make_version_2
from tests.evomerge.conftest import Outcome

Command = Callable[..., Outcome]
STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
EVIL = "n\x1b[2J\x1b]0;t\x07\u202e\x9b31m\r"
CLI = Path(__file__).parents[3] / "evomerge" / "cli"
PIECES = ["[bold]", "[/y]", "[", "]", "\\[", ":fire:", "\x1b[2J", "\x07", "\u202e", "\r", "a", "é", " ", "\ud800"]
HOSTILE = (
    st.lists(st.sampled_from(PIECES) | st.characters(), min_size=1)
    .map("".join)
    .filter(lambda text: "\n" not in text and "\t" not in text and visible(text).strip() == visible(text) != "")
)


def printed(show: Callable[[Terminal], object], *, on_a_terminal: bool = False) -> str:
    terminal, file = Terminal(), io.StringIO()
    terminal.console.file = file
    terminal.console._force_terminal = on_a_terminal
    terminal.console.width = 10_000
    show(terminal)
    return file.getvalue()


@given(HOSTILE)
def test_a_text_is_printed_as_it_is_written(text: str) -> None:
    assert printed(lambda terminal: terminal.print(text, whole=True)) == f"{visible(text)}\n"
    assert printed(lambda terminal: terminal.print("x", subject=text)) == f"{visible(text)}: x\n"


@given(HOSTILE)
def test_the_cells_header_and_title_of_a_table_are_too(text: str) -> None:
    shown = printed(lambda terminal: terminal.show(plain_table(text, (text,), ((text,),))))
    assert shown.count(visible(text)) >= 3
    assert not STEERING.search(shown)


@given(HOSTILE)
def test_on_a_terminal_only_our_own_styles_reach_it(text: str) -> None:
    shown = printed(lambda terminal: terminal.print(text, style="red", whole=True), on_a_terminal=True)
    assert not STEERING.search(re.sub(r"\x1b\[[0-9;]*m", "", shown))
    assert visible(text) in shown


def test_nothing_but_the_terminal_of_this_room_prints() -> None:
    allowed = {"terminal.py": {"rich.console", "rich.table", "rich.text"}}
    allowed["live.py"] = {"rich.console", "rich.live", "rich.text"}  # its texts are visible and cut
    allowed["reduce.py"] = {"rich.table"}  # the type of what it returns
    allowed["tables.py"] = {"rich.cells", "rich.table"}
    for file in CLI.rglob("*.py"):
        tree = ast.parse(file.read_text())
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert {name for name in imported if name and name.startswith("rich")} <= allowed.get(file.name, set()), file
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            name = ast.unparse(call.func)
            if name == "print":  # JSON writes control characters as \u001b
                assert "json.dumps" in ast.unparse(call) or ast.unparse(call.args[0]) == "document", ast.unparse(call)
            if name.endswith((".add_row", ".add_column")):
                assert file.name == "terminal.py" or name == "grid.add_row", ast.unparse(call)


NAMES = {"sums": "acc[en]", "words": "acc[/y]"}


def test_brackets_in_names_are_shown_by_every_command(
    evomerge: Command, campaign_file: Callable[..., Path], family: Family, tmp_path: Path
) -> None:
    parents = [{"model": str(path), "name": f"{name}[bold]"} for name, path in family.experts.items()]
    objectives = [{"name": name, "tasks": [f"{task}.jsonl"]} for task, name in NAMES.items()]
    path = campaign_file(name="merge[v1]", parents=parents, objectives=objectives, budget={"evaluations": 6})
    run = tmp_path / "r[v2]"
    planned = evomerge("plan", path)
    assert "alpha[bold], beta[bold]" in planned.out
    searched = evomerge("run", path, "--run-dir", run)
    assert searched.code == 0, searched.err
    assert f"report: {run / 'report.html'}\nnext: evomerge verify '{run}'" in searched.out
    assert "merge[v1]: reading parents" in searched.out
    shown = evomerge("pareto", run)
    assert "merge[v1]: 6 evaluations" in shown.out
    verified = evomerge("verify", run)
    assert verified.code == 0, verified.err
    assert "alpha[bold]" in verified.out
    for done in (searched, shown, verified):
        assert all(name in done.out for name in NAMES.values()), done.out
    exported = evomerge("export", run, "--pick", "best", "--out", tmp_path / "e[v3]")
    assert str(tmp_path / "e[v3]") in exported.out
    assert "acc[/z]" in evomerge("export", run, "--pick", "best:acc[/z]", "--out", tmp_path / "f").err
    assert "acc[en]" in (run / "report.html").read_text()
    assert f"resuming {run}" in evomerge("run", run).out.replace("\n", "")


@pytest.fixture
def stranger(finished: Path, tmp_path: Path) -> Path:
    """A run whose archive has hostile names everywhere: campaign, objectives, parents, labels, reasons, versions."""
    run = tmp_path / "run"
    shutil.copytree(finished, run, ignore=shutil.ignore_patterns("report.html", "figures"))
    quoted = json.dumps(EVIL)
    make_version_2(run / "archive.sqlite")  # without digests, which a stranger would write anew
    with contextlib.closing(sqlite3.connect(run / "archive.sqlite", isolation_level=None)) as connection:
        old = connection.execute("SELECT value FROM campaign WHERE key = 'campaign'").fetchone()[0]
        new = old.replace("name: tiny", f"name: {quoted}").replace("name: words", f"name: {quoted}")
        assert new.count(quoted) == 2
        connection.execute("UPDATE campaign SET value = ? WHERE key = 'campaign'", (new,))
        connection.execute("UPDATE campaign SET value = replace(value, '\"words\"', ?)", (quoted,))
        connection.execute("UPDATE campaign SET value = replace(value, 'uniform mean', ?)", (quoted[1:-1],))
        connection.execute("UPDATE outcomes SET objectives = replace(objectives, '\"words\"', ?)", (quoted,))
        connection.execute("UPDATE candidates SET label = ? WHERE label = 'uniform mean'", (EVIL,))
        connection.execute("UPDATE campaign SET value = ? WHERE key = 'versions'", (json.dumps({EVIL: EVIL}),))
    return run


def test_hostile_names_of_an_archive_are_written_out(evomerge: Command, stranger: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    commands = [("pareto", stranger), ("pareto", stranger, "--json"), ("report", stranger)]
    commands += [("export", stranger, "--pick", "best", "--out", out)]
    commands += [("export", stranger, "--pick", pick) for pick in (EVIL, f"best:{EVIL}")]
    for arguments in commands:
        done = evomerge(*arguments)
        assert not STEERS.search(done.out + done.err), arguments
    assert visible(EVIL) in evomerge("pareto", stranger).out
    assert json.dumps(EVIL) in evomerge("pareto", stranger, "--json").out
    card, page = (out / "README.md").read_text(), (stranger / "report.html").read_text()
    assert not STEERS.search(card)
    ours = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)  # a library's own code has such letters
    assert not STEERS.search(ours)
    data = re.search(r'<script[^>]*id="data"[^>]*>(.*?)</script>', page, flags=re.DOTALL)
    assert data is not None
    assert not STEERS.search(json.dumps(json.loads(data[1]), ensure_ascii=False))
    assert r"\x1b[2J" in ours


def test_versions_that_repeat_themselves_without_end_are_left_out(stranger: Path) -> None:
    """Aliases of YAML, doubled thirty times; and nested lists, which JSON can hold."""
    from evomerge.archive.campaign_text import campaign_settings
    from evomerge.results.recorded import recorded_versions

    bomb = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 31))
    archive = Archive.open(stranger / "archive.sqlite")
    for noted in (bomb, "[" * 100_000, '{"torch": {"a": 1}, "numpy": "2"}', "3"):
        archive.note("versions", noted)
        assert set(recorded_versions(archive)) <= {"evomerge", "numpy"}
    archive.close()
    assert campaign_settings(bomb) == {}


def test_the_log_and_warnings_show_what_they_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with RunDirectory(tmp_path / "r").locked():
        logging.getLogger("evomerge.campaign").info("candidate %s failed", EVIL)
        try:
            raise RuntimeError(EVIL)
        except RuntimeError:
            logging.getLogger("fitness").exception("failed")
    log = (tmp_path / "r" / "log.txt").read_text()
    assert not STEERS.search(log)
    assert log.count(r"\x1b[2J") >= 2
    print_warnings([f"[bold]{EVIL}"])
    assert f"warning: [bold]{visible(EVIL)}" in capsys.readouterr().err


def test_a_notebook_shows_names_and_is_not_steered_by_them(stranger: Path) -> None:
    import evomerge as em

    run = em.load(stranger)
    html = run._repr_html_()
    hostile = replace(run.verification.verification, verdict="<img src=x>")
    assert visible(EVIL) in html
    assert not STEERS.search(html)
    assert "<img" not in replace(run.verification, verification=hostile)._repr_html_()
