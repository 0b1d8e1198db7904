import json
import os
import re
import threading
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.results.report.html import duration, for_script, moment, report, signed
from evomerge.results.report.marks import DARK, LIGHT
from evomerge.whole_file import OutputError
from tests.evomerge.archives import CAMPAIGN, failure, landmarks, make_archive, scored, verification, with_winners
from tests.evomerge.results.report.back_ends import assert_drawn_alike

HOSTILE = "</script><img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """What a browser would see: the elements, the text, and the scripts' bodies."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.data: dict = {}
        self._script = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attributes if name in ("src", "href")]
        self._script = str(dict(attributes).get("id", tag)) if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self._script = ""

    def handle_data(self, data: str) -> None:
        if self._script == "data":
            self.data = json.loads(data)
        elif not self._script:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page_of(archive: Archive, directory: Path) -> Page:
    return Page(report(archive, directory / "report.html", png_dir=None).read_text(encoding="utf-8"))


def test_the_page_is_whole_loads_nothing_and_holds_every_section(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a.sqlite", proposals=24, failures=(3,))
    archive.note("verification", verification(contender=None, winner=20).to_json())
    page = page_of(archive, tmp_path)
    assert page.links == []
    assert page.tags.count("script") == 3  # data, plotly once, the page's own
    for words in (
        "The Pareto front",
        "On held-out items",
        "Best so far",
        "Genes over depth",
        "Failures",
        "out of memory",
    ):
        assert words in page.text
    assert "Candidate 20 beats the best parent" in page.text
    assert page.data["order"][0] == 20
    assert "optimiser: {kind: nsga2, population: 24}" in page.text


def test_every_drawn_point_has_scores_and_every_option_a_recipe(tmp_path: Path) -> None:
    data = page_of(make_archive(tmp_path / "a.sqlite", proposals=24), tmp_path).data
    drawn = {row[0] for trace in data["figures"]["pareto"][0]["data"] for row in trace.get("customdata", [])}
    assert drawn <= {int(number) for number in data["points"]}
    assert all(data["candidates"][str(number)]["recipe"]["rules"] for number in data["order"])


def test_without_verification_it_says_how_to_verify(tmp_path: Path) -> None:
    page = page_of(make_archive(tmp_path / "a.sqlite", proposals=3), tmp_path)
    assert "Not verified yet: run evomerge verify RUN_DIR" in page.text


def test_every_winners_verdict_and_facts_are_on_the_page(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a.sqlite", proposals=60)
    found = with_winners(verification(), "better", "not_shown")
    archive.note("verification", found.to_json())
    text = page_of(archive, tmp_path).text
    for winner in found.winners:
        assert winner.verdict in text
        assert len(winner.facts) == 7
        assert all(fact in text for fact in winner.facts)
    assert "winners were chosen on validation items" in text


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    archive = Archive.create(tmp_path / "a.sqlite", f"name: '{HOSTILE}'")
    hostile = [type(c)(c.number, c.recipe, HOSTILE if c.number == 3 else c.label) for c in landmarks()]
    archive.asked(hostile, None)
    archive.told([scored(rng, c, [0.5, 0.6]) for c in hostile[:4]])
    archive.told([failure(hostile[4], HOSTILE)])
    page = page_of(archive, tmp_path)
    assert "img" not in page.tags
    assert page.text.count(HOSTILE) >= 3
    assert page.data["candidates"]["3"]["title"] == HOSTILE
    texts = [text for trace in page.data["figures"]["pareto"][0]["data"] for text in trace.get("hovertext", [])]
    assert all("<" not in text for text in texts)  # plotly reads a little HTML in its texts


def test_json_in_a_script_survives_and_cannot_close_it() -> None:
    value = {"a": "</script><!--\u2028&", "é": [1.5, None]}
    assert not re.search("[<>&\u2028]", for_script(value))
    assert json.loads(for_script(value)) == value


@pytest.mark.parametrize("proposals", [0, 1, 12])
@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_page_notebook_and_png_draw_the_same_numbers_in_known_colours(
    tmp_path: Path, objectives: int, proposals: int
) -> None:
    archive = make_archive(tmp_path / "a.sqlite", objectives=objectives, proposals=proposals)
    found = verification(objectives=objectives, contender=None, winner=2 + proposals // 2)
    archive.note("verification", found.to_json())
    data = page_of(archive, tmp_path).data
    shown = {name: figures for name, figures in data["figures"].items() if figures}
    assert list(shown) == ["pareto", "best_so_far", "genes", "held_out"]
    for figures in (*shown.values(), *(detail["genes"] for detail in list(data["candidates"].values())[:6])):
        assert_drawn_alike(figures)
    names = set(re.findall(r"var\(--(\w+)\)", json.dumps(data))) - {"sans"}
    assert names <= set(LIGHT) == set(DARK)


class TestSmallArchives:
    def test_nothing_scored(self, tmp_path: Path) -> None:
        page = page_of(Archive.create(tmp_path / "a.sqlite", CAMPAIGN), tmp_path)
        assert "No candidate has been scored yet." in page.text
        assert "script" not in page.tags

    def test_only_failures(self, tmp_path: Path) -> None:
        archive = Archive.create(tmp_path / "a.sqlite", CAMPAIGN)
        archive.asked(landmarks(), None)
        archive.told([failure(c) for c in landmarks()])
        page = page_of(archive, tmp_path)
        assert "All 5 candidates failed." in page.text
        assert "5×" in page.text

    def test_one_candidate(self, tmp_path: Path) -> None:
        archive = Archive.create(tmp_path / "a.sqlite", "not a mapping")
        archive.asked(landmarks(), None)
        archive.told([scored(np.random.default_rng(0), landmarks()[0], [0.5, 0.6])])
        page = page_of(archive, tmp_path)
        assert page.data["order"] == [0]

    def test_a_verification_of_candidates_whose_search_scores_are_equal(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        archive = Archive.create(tmp_path / "a.sqlite", CAMPAIGN)
        archive.asked(landmarks(), None)
        archive.told([scored(rng, c, [1.0, 1.0]) for c in landmarks()])
        archive.note("verification", verification(contender=None, winner=3).to_json())
        assert len(page_of(archive, tmp_path).data["figures"]["pareto"]) == 1


def test_a_report_can_be_written_while_the_search_writes(tmp_path: Path) -> None:
    writer = make_archive(tmp_path / "a.sqlite", proposals=12)
    reader = Archive.read(tmp_path / "a.sqlite")
    writer.asked([], 1)
    seen: list[int] = []

    def read() -> None:
        archive = Archive.read(tmp_path / "a.sqlite")
        seen.append(len(page_of(archive, tmp_path).data["points"]))

    thread = threading.Thread(target=read)
    thread.start()
    writer.note("a fact", "noted meanwhile")
    thread.join()
    assert seen == [17]
    assert len(page_of(reader, tmp_path).data["points"]) == 17


def test_an_unfinished_page_never_replaces_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_archive(tmp_path / "a.sqlite", proposals=2)
    out = tmp_path / "report.html"
    out.write_text("the old one")

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match="no space left"):
        report(archive, out, png_dir=None)
    assert out.read_text() == "the old one"
    assert not list(tmp_path.glob("*.partial"))
    assert not list(tmp_path.glob(".*.partial"))


@pytest.mark.parametrize(
    ("hours", "words"), [(0.0, "0 s"), (59 / 3600, "59 s"), (61 / 3600, "1 min 01 s"), (2.5, "2 h 30 min")]
)
def test_durations_are_told_to_the_unit_that_matters(hours: float, words: str) -> None:
    assert duration(hours) == words


def test_differences_have_a_sign() -> None:
    assert (signed(0.1), signed(-0.1)) == ("+0.100", "−0.100")


@pytest.mark.parametrize("epoch", [-1.6e16, 1e300, float("nan"), float("inf")])
def test_a_moment_that_no_calendar_has_is_not_known(epoch: float) -> None:
    assert moment(epoch) == "not known"
    assert moment(0.0) == "1970-01-01 00:00 UTC"
