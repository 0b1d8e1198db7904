"""`evomerge verify --final` and `Run.verify(final=True)` on a real run."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import yaml

import evomerge as em
from evomerge.archive import Archive
from evomerge.results.verification.result import VerificationError
from tests.evomerge.conftest import campaign_data, n_items, write_tasks


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, family) -> em.Run:
    directory = tmp_path_factory.mktemp("final")
    write_tasks(directory)
    splits = {"search": 0.4, "validation": 0.2, "test": 0.2, "final": 0.2}
    data = campaign_data(family, budget={"evaluations": 9}, landmarks="none", splits=splits)
    data["objectives"][0]["at_least"] = "base - 0.9"
    (directory / "campaign.yaml").write_text(yaml.safe_dump(data))
    return em.search.from_yaml(directory / "campaign.yaml", run_dir=directory / "run")


def held_out(run: em.Run, key: str) -> set[str]:
    with contextlib.closing(Archive.read(Path(run.directory) / "archive.sqlite")) as archive:
        return {item for _, items in archive.answered(key) for item in items}


def test_it_is_opened_once_and_shown_wherever_the_verdict_is(run, evomerge, tmp_path):
    assert held_out(run, "final") == set()
    first = run.verify(top=2)  # no final items
    assert first.final is None
    assert first.to_dict()["final"] is None
    assert held_out(run, "final") == set()
    found = json.loads(evomerge("verify", run.directory, "--final", "--json").out)
    final = found["final"]
    assert final["candidate"] == first.winner
    assert found["verdict"] == first.verdict
    n_final = n_items(Path(run.directory), "final")
    assert f" on {n_final} final items" in final["result"]["verdict"]
    assert {o["split"] for row in final["result"]["rows"] for o in row["objectives"].values()} == {"final"}
    assert final["result"]["constraints"][0]["split"] == "final"
    assert not held_out(run, "final") & (held_out(run, "search") | held_out(run, "validation") | held_out(run, "test"))
    again = evomerge("verify", run.directory, "--final")
    assert f"final items were opened before, for candidate {first.winner}" in again.out + again.err
    verdict = "Final items: " + final["result"]["verdict"]
    assert verdict in " ".join(again.out.split())
    assert f"Final items, opened once for candidate {final['candidate']}" in again.out
    assert run.verification.final.lines[0] == verdict
    assert verdict in (Path(run.directory) / "report.html").read_text()
    card = (run.export(first.winner, tmp_path / "out") / "README.md").read_text()
    assert f"{n_final} final" in card
    assert verdict.replace("+", "\\+")[:40] in card or verdict[:40] in card


def test_without_a_share_there_is_nothing_to_open(finished):
    with pytest.raises(VerificationError, match="expected a share of them in the campaign that began this search"):
        em.load(finished).verify(final=True)


def test_it_makes_the_verification_that_it_needs(family, tmp_path):
    write_tasks(tmp_path)
    data = campaign_data(family, budget={"evaluations": 8}, landmarks="none", splits={"test": 0.2, "final": 0.1})
    data["objectives"] = [{"name": "both", "tasks": ["sums.jsonl", "words.jsonl"]}]
    del data["optimiser"]
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(data))
    run = em.search.from_yaml(tmp_path / "campaign.yaml", run_dir=tmp_path / "run")
    report = run.verify(top=1, final=True)
    assert report.verification.split == "test"
    assert report.final.found.winner == report.winner
    assert report.final.found.best_parent == report.verification.best_parent
