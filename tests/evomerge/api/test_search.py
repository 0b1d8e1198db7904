"""`evomerge.search`, `load` and `resume`."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import evomerge as em
from evomerge.api.sections import campaign
from tests.conftest import Family
from tests.evomerge.api.searchers import OneScale, Steps, smallness
from tests.evomerge.conftest import Outcome, campaign_data, write_tasks
from tests.evomerge.killing import contents

Searched = Callable[..., em.Run]
Command = Callable[..., Outcome]


def test_a_search_prints_nothing_and_returns_what_its_directory_holds(
    searched: Searched, capfd: pytest.CaptureFixture[str]
) -> None:
    run = searched()
    assert capfd.readouterr() == ("", "")
    assert (run.n_candidates, run.ending, run.directory) == (8, "evaluations", Path("run"))
    loaded = em.load("run")
    assert [row.recipe for row in loaded.candidates] == [row.recipe for row in run.candidates]
    assert run.front.knee.recipe == run.candidates[run.front.knee.candidate.number].recipe


def test_keywords_make_the_campaign_that_a_file_makes(arguments: dict[str, Any], searched: Searched) -> None:
    run = searched(seed=3, splits={"search": 0.4, "validation": 0.3, "test": 0.3}, budget={"items": 20})
    file = {
        "name": "campaign",
        "base": str(arguments["base"]),
        "parents": list(map(str, arguments["parents"])),
        "objectives": [{"name": "sums", "tasks": ["sums.jsonl"]}, {"name": "words", "tasks": ["words.jsonl"]}],
        "space": {"operator": "task_arithmetic", "groups": {"layer_blocks": 1}, "genes": {"weight": [0.0, 1.5]}},
        "optimiser": {"kind": "random"},
        "budget": {"evaluations": 8, "items": 20},
        "splits": {"search": 0.4, "validation": 0.3, "test": 0.3},
        "seed": 3,
        "export": {"dtype": "float32"},
    }
    Path("campaign.yaml").write_text(yaml.safe_dump(file))
    other = em.search.from_yaml("campaign.yaml", run_dir="other")
    assert other.config == run.config
    assert contents(Path("other/archive.sqlite")) == contents(Path("run/archive.sqlite"))


def test_the_same_call_resumes_and_another_campaign_is_refused(searched: Searched) -> None:
    searched(evaluations=6)
    assert searched(evaluations=8).n_candidates == 8
    with pytest.raises(em.EvomergeError, match=r"seed +0 -> 1"):
        searched(seed=1)


def test_a_search_goes_on_with_the_optimiser_it_began_with_where_none_is_named(searched: Searched) -> None:
    searched(optimiser="nsga2", evaluations=6)
    assert searched(optimiser=None, evaluations=8).config.optimiser.kind == "nsga2"
    with pytest.raises(em.EvomergeError, match=r"optimiser\.kind +'nsga2' -> 'bayes'"):
        searched(optimiser="bayes", evaluations=8)


def test_a_resumed_run_is_the_one_that_was_not_stopped(searched: Searched) -> None:
    optimiser = {"kind": "nsga2", "population": 4}
    whole = searched(optimiser=optimiser, evaluations=14, run_dir="whole")
    part = searched(optimiser=optimiser, evaluations=9, run_dir="part").resume(evaluations=14)
    assert contents(part.directory / "archive.sqlite") == contents(whole.directory / "archive.sqlite")
    assert part.resume(set={"budget.evaluations": 15}).n_candidates == 15


def test_parents_have_the_names_of_a_mapping(searched: Searched, family: Family) -> None:
    run = searched(parents={"one": family.experts["alpha"], "two": family.experts["beta"]}, evaluations=5)
    assert [row.label for row in run.candidates] == ["base", "one", "two", "uniform mean", "default TIES"]


def test_objectives_of_a_list_are_named_by_their_tasks_and_may_be_functions(searched: Searched) -> None:
    run = searched(objectives=["sums.jsonl", smallness], evaluations=5)
    assert [o.name for o in run.config.objectives] == ["sums", "smallness"]
    assert run.config.objectives[1].tasks == ("python:tests.evomerge.api.searchers:smallness",)


def test_a_function_that_no_worker_could_import_is_refused(searched: Searched) -> None:
    with pytest.raises(em.ConfigError, match="expected a function of a module or of a file"):
        searched(objectives={"mine": lambda model, tokenizer: {}})


def test_every_error_is_told_at_once_and_names_the_arguments(searched: Searched) -> None:
    with pytest.raises(em.ConfigError) as caught:
        searched(
            parents=["./alphaa", "./b"],
            objectives={"sums": "sum.jsonl"},
            optimiser="nsga",
            evaluations=0,
            workers=0,
            sead=1,
        )
    assert len(str(caught.value).splitlines()) == 5
    lines = [str(problem) for problem in caught.value.problems]
    assert {line.split(":")[0] for line in lines} == {
        "parents[0]",
        "parents[1]",
        "objectives['sums'].tasks[0]",
        "optimiser.kind",
        "evaluations",
        "workers",
        "sead",
    }
    assert any(line.startswith("sead: ") and "did you mean 'seed'" in line for line in lines)


def test_options_are_what_the_campaign_searches_with() -> None:
    space, optimiser = em.spaces.Weights("task_arithmetic", layer_blocks=1), em.optimisers.CmaEs(sigma0=0.2)
    config, _ = campaign(["hub/a", "hub/b"], ["gsm8k"], base="hub/base", space=space, optimiser=optimiser)
    assert config.space is space
    assert config.optimiser is optimiser


def test_a_value_that_no_file_could_hold_is_refused(searched: Searched) -> None:
    with pytest.raises(em.ConfigError, match=r"prompts\.num_fewshot: expected text, numbers"):
        searched(prompts={"num_fewshot": object()})


def test_callbacks_are_told_of_every_candidate_after_it_was_saved(searched: Searched) -> None:
    events: list[object] = []
    saved: list[bool] = []

    def watch(event: object) -> None:
        events.append(event)
        if isinstance(event, em.CandidateTold):
            saved.append(em.load("run").candidates[event.evaluation.candidate.number].state == "told")

    searched(callbacks=[watch])
    asked = [e.candidate.number for e in events if isinstance(e, em.CandidateAsked)]
    told = [e.evaluation.candidate.number for e in events if isinstance(e, em.CandidateTold)]
    assert asked == told == list(range(8))
    assert saved == [True] * 8
    assert isinstance(events[-1], em.SearchEnded)
    assert next(e.subject for e in events if isinstance(e, em.Noted)) == "campaign"


def test_a_callback_that_raises_is_a_warning_and_the_search_goes_on(searched: Searched) -> None:
    def broken(event: object) -> None:
        if isinstance(event, em.SearchEnded):
            raise ValueError("mine")

    with pytest.warns(RuntimeWarning, match=r"broken failed at SearchEnded: ValueError: mine"):
        assert searched(callbacks=[broken]).n_candidates == 8


def test_a_search_runs_in_any_thread(searched: Searched) -> None:
    found: list[em.Run] = []
    thread = threading.Thread(target=lambda: found.append(searched()))
    thread.start()
    thread.join()
    assert found[0].n_candidates == 8


def test_an_optimiser_of_ones_own_is_asked_told_recorded_and_told_again(searched: Searched, evomerge: Command) -> None:
    first = Steps(dim=6)
    run = searched(optimiser=first)
    assert first.told == [5, 6, 7]
    assert run.config.optimiser.kind == "object"
    done = evomerge("run", "run", "--evaluations", 10)
    assert done.code == 2
    assert "optimiser: expected the object of tests.evomerge.api.searchers:Steps" in done.err
    assert "resume(optimiser=...)" in done.err
    again = Steps(dim=6)
    assert em.load("run").resume(10, optimiser=again).n_candidates == 10
    assert again.told == [5, 6, 7, 8, 9]
    whole = searched(optimiser=lambda space: Steps(len(space.gene_names())), evaluations=10, run_dir="whole")
    assert [row.recipe for row in whole.candidates] == [row.recipe for row in run.candidates]


def test_a_space_of_ones_own_is_searched_verified_and_exported(searched: Searched, family: Family) -> None:
    space = OneScale(str(family.base), {name: str(path) for name, path in family.experts.items()})
    run = searched(space=space, optimiser={"kind": "nsga2", "population": 4})
    assert [row.label for row in run.candidates][:4] == ["base", "alpha", "beta", None]
    assert list(run.candidates[4].genes) == ["gene 0"]
    assert run.verify(top=1).rows[0].name == "base"
    assert (run.export(5, "out") / "model.safetensors").is_file()
    with pytest.raises(em.ConfigError, match=r"space: expected the object of .*OneScale"):
        run.resume(10)
    assert run.resume(9, space=space).n_candidates == 9


@pytest.fixture
def staged(tmp_path: Path, family: Family, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_tasks(tmp_path)
    monkeypatch.chdir(tmp_path)
    data: dict[str, Any] = campaign_data(family, budget={"evaluations": 6})
    del data["space"], data["optimiser"]
    one_block = {"groups": {"layer_blocks": 1}}
    data["stages"] = [
        {"name": "sums", "space": {"operator": "task_arithmetic", **one_block}, "optimiser": {"kind": "random"}},
        {"name": "slerps", "space": {"operator": "slerp", **one_block}, "parents": ["sums", "beta"]},
    ]
    (tmp_path / "staged.yaml").write_text(yaml.safe_dump(data))
    return tmp_path / "staged.yaml"


def test_the_run_of_a_campaign_with_stages_is_its_last_one(staged: Path, evomerge: Command) -> None:
    run = em.search.from_yaml(staged, run_dir="run")
    assert [row.label for row in run.candidates][:3] == ["base", "sums", "beta"]
    assert evomerge("run", "run", "--evaluations", 7).code == 0
    assert run.n_candidates == 7
    assert em.load("run/stages/1-sums").n_candidates == 6


def test_a_plan_knows_the_genes_the_items_and_the_cost(arguments: dict[str, Any]) -> None:
    del arguments["run_dir"]
    (plan,) = em.plan(**arguments)
    assert str(plan.genes[0]) == "weight, alpha, attention, layers 0 to 1"
    assert sum(plan.items.values()) == 80
    for split, share in {"search": 0.5, "validation": 0.2, "test": 0.3}.items():
        assert abs(plan.items[split] - 80 * share) < 3 * (80 * share * (1 - share)) ** 0.5
    assert plan.cost is not None
    assert plan.cost.evaluations == 8
    assert plan.cost.total_seconds > plan.cost.seconds > 0.0
    assert list(plan.to_pandas()["high"]) == [1.5] * 6


def test_evaluate_returns_what_the_command_prints(family: Family, tmp_path: Path, evomerge: Command) -> None:
    write_tasks(tmp_path)
    tasks = [tmp_path / "sums.jsonl", tmp_path / "words.jsonl"]
    scores = em.evaluate(family.base, tasks, limit=10)
    printed = evomerge("eval", family.base, "--tasks", f"{tasks[0]},{tasks[1]}", "--limit", 10, "--json")
    assert json.loads(printed.out) == scores.to_dict()
    assert scores.value("words") == scores.rows[1]["value"]
    with pytest.raises(KeyError, match="expected one of sums acc, words acc, found verbs"):
        scores.value("verbs")


def test_merge_takes_a_recipe_as_it_is(searched: Searched) -> None:
    run = searched()
    merged = em.merge(run.candidates[5].recipe, "merged")
    exported = run.export(5, "exported")
    assert (merged.directory / "model.safetensors").read_bytes() == (exported / "model.safetensors").read_bytes()


def test_init_writes_the_template_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = em.init(["./a", "./b"], "./base")
    assert file.read_text() == em.template(["./a", "./b"], "./base")
    with pytest.raises(em.EvomergeError, match="expected no file, found one"):
        em.init(["./a", "./b"], "./base")


def test_a_run_directory_in_use_is_refused_in_the_same_process_too(
    searched: Searched, arguments: dict[str, Any]
) -> None:
    with contextlib.closing(em.Study(**arguments)), pytest.raises(em.EvomergeError, match="in use"):
        searched()
