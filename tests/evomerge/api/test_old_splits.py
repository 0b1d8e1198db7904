"""Searches that began before items were split by what they ask."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import yaml

import evomerge as em
from evomerge.archive import Archive
from evomerge.campaign.run_directory import RunDirectoryError
from tests.evomerge.conftest import campaign_data, write_tasks


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, family) -> Path:
    """A run whose archive is as an older version left it: split by place, and without a key that says so."""
    directory = tmp_path_factory.mktemp("old")
    write_tasks(directory)
    data = campaign_data(family, budget={"evaluations": 5}, landmarks="none")
    (directory / "campaign.yaml").write_text(yaml.safe_dump(data))
    em.search.from_yaml(directory / "campaign.yaml", set={"splits.drawn": "by_place"}, run_dir=directory / "run")
    with contextlib.closing(Archive.open(directory / "run" / "archive.sqlite")) as archive, archive.transaction() as db:
        recorded = yaml.safe_load(archive.campaign)
        assert recorded["splits"].pop("drawn") == "by_place"
        archive.note("campaign", yaml.safe_dump(recorded))
        db.execute("DELETE FROM campaign WHERE key = 'searched_contents'")
    return directory


def test_they_keep_their_splits_and_ids_and_say_so(begun):
    said: list[str] = []
    watch = lambda event: said.append(getattr(event, "text", ""))  # noqa: E731
    with contextlib.closing(Archive.read(begun / "run" / "archive.sqlite")) as archive:
        (before,) = set(archive.answered("search").__next__()[1:])
    run = em.search.from_yaml(begun / "campaign.yaml", evaluations=7, run_dir=begun / "run", callbacks=watch)
    assert run.n_candidates == 7
    assert said.count("split by the items' order, as this search began in an older evomerge") == 1
    with contextlib.closing(Archive.read(begun / "run" / "archive.sqlite")) as archive:
        assert {items for _, items in archive.answered("search")} == {before}
    assert sorted(int(item.split("/")[1]) for item in before if item.startswith("sums/")) != list(range(1, 21))
    assert len([item for item in before if item.startswith("sums/")]) == 20
    run.verify(top=1)


def test_a_search_that_began_by_content_cannot_go_on_by_place(finished):
    with pytest.raises(RunDirectoryError, match=r"splits\.drawn +'by_content' -> 'by_place'"):
        em.search.from_yaml(finished, set={"splits.drawn": "by_place"})
