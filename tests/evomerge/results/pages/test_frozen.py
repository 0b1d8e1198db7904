"""The report: one file, whole as it is."""

import json
import os
import re
import threading
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.candidate import Candidate
from evomerge.results.pages.frozen import LARGEST, report
from evomerge.results.pages.plain import as_json
from evomerge.whole_file import OutputError
from tests.evomerge.archives import CAMPAIGN, failure, landmarks, make_archive, scored, verification, with_winners

HOSTILE = "</script><img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """What a browser would see: the elements, the text, and the documents."""

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


def test_the_page_loads_nothing_and_holds_every_document(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a.sqlite", proposals=24, failures=(3,))
    archive.note("verification", verification(contender=None, winner=20).to_json())
    page = page_of(archive, tmp_path)
    assert page.links == []
    assert page.tags.count("script") == 2  # documents, and what draws them
    assert "Candidate 20 beats the best parent" in page.text
    documents = page.data["documents"]
    assert next(iter(page.data["details"])) == "20"
    assert documents["search"]["failures"][0]["reason"].endswith("out of memory")
    assert "optimiser: {kind: nsga2, population: 24}" in documents["search"]["campaign"]
    assert documents["verdict"]["verified"]
    assert [m["parameter"] for m in page.data["details"]["20"]["maps"]][:2] == ["weight", "density"]


def test_scripts_are_those_that_the_policy_names(tmp_path: Path) -> None:
    import base64
    import hashlib

    text = report(make_archive(tmp_path / "a.sqlite", proposals=2), tmp_path / "r.html", png_dir=None).read_text()
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text


def test_every_winners_verdict_and_facts_are_on_the_page(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a.sqlite", proposals=60)
    found = with_winners(verification(), "better", "not_shown")
    archive.note("verification", found.to_json())
    told = page_of(archive, tmp_path).data["documents"]["verdict"]["winners"]
    assert [(w["verdict"], tuple(w["facts"])) for w in told] == [(w.verdict, w.facts) for w in found.winners]


def test_comparisons_of_the_best_are_held_and_no_questions(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a.sqlite", proposals=24)
    archive.note("verification", verification(contender=None, winner=20).to_json())
    compared = page_of(archive, tmp_path).data["compared"]
    assert any(key.split(".")[0] == "20" for key in compared)
    listed = [one for found in compared.values() for split in found["splits"].values() for one in split["listed"]]
    assert listed
    assert not any("question" in one for one in listed)


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    archive = Archive.create(tmp_path / "a.sqlite", f"name: '{HOSTILE}'")
    hostile = [type(c)(c.number, c.recipe, HOSTILE if c.number == 3 else c.label) for c in landmarks()]
    archive.asked(hostile, None)
    archive.told([scored(rng, c, [0.5, 0.6]) for c in hostile[:4]])
    archive.told([failure(hostile[4], HOSTILE)])
    page = page_of(archive, tmp_path)
    assert "img" not in page.tags
    assert HOSTILE in page.text
    assert page.data["details"]["3"]["title"] == HOSTILE


def test_no_directory_of_this_machine_is_in_a_page_that_is_passed_on(tmp_path: Path) -> None:
    campaign = f"{CAMPAIGN}objectives: [{{name: a, tasks: [/home/somebody/secret/tasks/sums.jsonl]}}]\n"
    text = report(
        make_archive(tmp_path / "a.sqlite", proposals=2, campaign=campaign), tmp_path / "r.html", png_dir=None
    )
    page = Page(text.read_text())
    assert "somebody" not in json.dumps(page.data)
    assert "/models/" not in json.dumps(page.data)
    assert "- sums.jsonl" in page.data["documents"]["search"]["campaign"]
    assert "org/base" in page.data["documents"]["search"]["campaign"]  # a name on the hub is no path


def test_json_in_a_script_survives_and_cannot_close_it() -> None:
    value = {"a": "</script><!--\u2028&", "é": [1.5, None]}
    assert not re.search("[<>&\u2028]", as_json(value))
    assert json.loads(as_json(value)) == value


def test_a_large_run_fits_into_two_megabytes_with_its_whole_front(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    archive = make_archive(tmp_path / "a.sqlite", objectives=3, proposals=30)
    recipe = archive.candidate(20).recipe
    many = [Candidate(35 + i, recipe, None, 30 + i, rng.random(4)) for i in range(2500)]
    outcome, estimate = scored(rng, many[0], [0.3, 0.3, 0.3])
    archive.asked(many, len(many))
    archive.told([(type(outcome)(c, outcome.scores, 0.0), estimate) for c in many])
    path = report(archive, tmp_path / "report.html", png_dir=None)
    assert path.stat().st_size <= LARGEST
    points = Page(path.read_text()).data["documents"]["front"]
    assert points["scored"] == 2535
    assert sum(points["points"]["front"]) == Page(path.read_text()).data["overview"]["front_size"]


class TestSmallArchives:
    def test_nothing_scored(self, tmp_path: Path) -> None:
        page = page_of(Archive.create(tmp_path / "a.sqlite", CAMPAIGN), tmp_path)
        assert "No candidate has been scored yet." in page.text

    def test_only_failures(self, tmp_path: Path) -> None:
        archive = Archive.create(tmp_path / "a.sqlite", CAMPAIGN)
        archive.asked(landmarks(), None)
        archive.told([failure(c) for c in landmarks()])
        page = page_of(archive, tmp_path)
        assert "All 5 candidates failed." in page.text
        assert page.data["documents"]["search"]["failures"][0]["count"] == 5

    def test_one_candidate(self, tmp_path: Path) -> None:
        archive = Archive.create(tmp_path / "a.sqlite", "not a mapping")
        archive.asked(landmarks(), None)
        archive.told([scored(np.random.default_rng(0), landmarks()[0], [0.5, 0.6])])
        assert list(page_of(archive, tmp_path).data["details"]) == ["0"]

    def test_a_verification_of_candidates_whose_search_scores_are_equal(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        archive = Archive.create(tmp_path / "a.sqlite", CAMPAIGN)
        archive.asked(landmarks(), None)
        archive.told([scored(rng, c, [1.0, 1.0]) for c in landmarks()])
        archive.note("verification", verification(contender=None, winner=3).to_json())
        assert page_of(archive, tmp_path).data["documents"]["verdict"]["verified"]


def test_a_report_can_be_written_while_the_search_writes(tmp_path: Path) -> None:
    writer = make_archive(tmp_path / "a.sqlite", proposals=12)
    reader = Archive.read(tmp_path / "a.sqlite")
    writer.asked([], 1)
    seen: list[int] = []

    def read() -> None:
        archive = Archive.read(tmp_path / "a.sqlite")
        seen.append(page_of(archive, tmp_path).data["rows"]["total"])

    thread = threading.Thread(target=read)
    thread.start()
    writer.note("a fact", "noted meanwhile")
    thread.join()
    assert seen == [17]
    assert page_of(reader, tmp_path).data["rows"]["total"] == 17


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
