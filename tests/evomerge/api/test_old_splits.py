"""Searches that began before items were split by what they ask."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import pytest
import yaml

import evomerge as em
from evomerge.archive import Archive
from evomerge.campaign import RunDirectoryError
from fitness.tasks.task_file import load_task_file
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


@pytest.fixture(scope="module")
def begun_without_groups(tmp_path_factory: pytest.TempPathFactory, family) -> Path:
    """A run that an older version began, which knew of no groups, on items with a key of that name."""
    directory = tmp_path_factory.mktemp("old")
    write_tasks(directory)
    for task in ("sums", "words"):
        lines = map(json.loads, (directory / f"{task}.jsonl").read_text().splitlines())
        grouped = (json.dumps({**line, "group": i // 4}) for i, line in enumerate(lines))
        (directory / f"{task}.jsonl").write_text("\n".join(grouped))
    data = campaign_data(family, budget={"evaluations": 5}, landmarks="none")
    (directory / "campaign.yaml").write_text(yaml.safe_dump(data))
    em.search.from_yaml(directory / "campaign.yaml", set={"splits.drawn": "by_content"}, run_dir=directory / "run")
    with contextlib.closing(Archive.open(directory / "run" / "archive.sqlite")) as archive:
        inputs = json.loads(archive.noted("inputs") or "")
        assert inputs.pop("groups").keys() == {"sums", "words"}
        archive.note("inputs", json.dumps(inputs))
    return directory


def test_groups_split_no_search_anew_that_began_without_them_and_count_in_its_verdict(begun_without_groups):
    said: list[str] = []
    watch = lambda event: said.append(getattr(event, "text", ""))  # noqa: E731
    directory = begun_without_groups
    run = em.search.from_yaml(directory / "campaign.yaml", evaluations=7, run_dir=directory / "run", callbacks=watch)
    assert said.count("split by what items ask, whatever their groups, as this search began in an older evomerge") == 1
    with contextlib.closing(Archive.read(directory / "run" / "archive.sqlite")) as archive:
        assert len({items for _, items in archive.answered("search")}) == 1
    found = run.verify(top=1)
    with contextlib.closing(Archive.read(directory / "run" / "archive.sqlite")) as archive:
        tested = next(items for _, items in archive.answered("test"))
    group_of = {task: load_task_file(directory / f"{task}.jsonl").group_of for task in ("sums", "words")}
    groups = {group_of[item.partition("/")[0]][item.partition("/")[2]] for item in tested}
    assert found.to_dict()["groups"] == len(groups)
    assert f" on {len(tested)} test items ({len(groups)} groups)" in found.verdict


def test_other_groups_are_noticed_where_groups_were_recorded(begun_without_groups, tmp_path):
    directory = Path(shutil.copytree(begun_without_groups, tmp_path / "copy"))
    with contextlib.closing(Archive.open(directory / "run" / "archive.sqlite")) as archive:
        inputs = json.loads(archive.noted("inputs") or "")
        archive.note("inputs", json.dumps({**inputs, "groups": {"sums": "0" * 16}}))
    with pytest.raises(RunDirectoryError, match="task 'sums': other items come together"):
        em.load(directory / "run").verify(top=1)


@pytest.mark.parametrize("older", ["by_content", "by_place"])
def test_a_search_cannot_go_on_by_an_older_rule(finished, older):
    with pytest.raises(RunDirectoryError, match=rf"splits\.drawn +'by_group' -> '{older}'"):
        em.search.from_yaml(finished, set={"splits.drawn": older})
