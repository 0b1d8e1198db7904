"""Campaigns whose operators read what parents compute on prompts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import evomerge as em
from evomerge.archive import Archive
from evomerge.assembly import MakeWorker, build_parts, build_worker, settled, with_statistics
from evomerge.assembly.informed import gathering
from evomerge.candidate import Candidate
from evomerge.config import CampaignConfig, dump_campaign, load_campaign
from evomerge.errors import EvomergeError
from fitness.scores import Budget
from search_spaces.errors import SpaceError
from tests.conftest import Family
from tests.evomerge.conftest import campaign_data, write_tasks

REGMEAN = {"operator": "regmean", "groups": {"layer_blocks": 1, "modules": ["all"]}}
BOTH = {"operator": ["task_arithmetic", "regmean"], "groups": {"layer_blocks": 1, "modules": ["all"]}}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVOMERGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def write(campaign_file: Callable[..., Path], cache: Path) -> Callable[..., Path]:
    """Write a campaign that reads 4 prompts a task, for a cache of its own."""
    del cache
    own: dict[str, Any] = {
        "space": REGMEAN,
        "optimiser": {"kind": "random"},
        "statistics": {"prompts": 4},
        "landmarks": "none",
    }
    return lambda **keys: campaign_file(**{**own, "budget": {"evaluations": 9}, **keys})


def campaign(file: Path) -> CampaignConfig:
    return settled(load_campaign(file))


def told(run: em.Run) -> list[tuple[str, Any]]:
    return [(c.recipe.digest, c.estimate) for c in run.candidates]


def test_a_merge_of_a_campaign_is_the_least_squares_fit_to_what_parents_compute_on_the_texts(
    write: Callable[..., Path], tmp_path: Path, family: Family
) -> None:
    texts = [f"text {i} {'abcdefgh' * (i % 3 + 1)} {i * 37 % 11} end" for i in range(12)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    genes = {"weight": 1.0, "off_diagonal": [0.999999, 1.0], "ridge": 1e-6}
    file = write(space={**REGMEAN, "genes": genes}, statistics={"calibration": "own.jsonl"})
    run = em.search.from_yaml(file, run_dir=tmp_path / "run", evaluations=7)
    number = run.candidates[-1].number
    assert run.candidates[-1].recipe.statistics.keys() == {"alpha", "beta"}
    merged = load_file(run.export(number, tmp_path / "out") / "model.safetensors")
    name = "model.layers.1.mlp.down_proj"
    inputs, outputs = [], []
    tokenizer = AutoTokenizer.from_pretrained(family.base)
    for expert in family.experts.values():
        model = AutoModelForCausalLM.from_pretrained(expert)
        layer = model.get_submodule(name)
        seen: list[torch.Tensor] = []
        layer.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0][0].double()))
        with torch.no_grad():
            for text in texts:
                model(**tokenizer(text, return_tensors="pt"))
        x = torch.cat(seen)
        inputs.append(x)
        outputs.append(x @ layer.weight.double().T)
    x = torch.cat(inputs)
    best = torch.linalg.lstsq(x, torch.cat(outputs)).solution.T
    found = merged[f"{name}.weight"].double()
    mean = (
        sum(load_file(expert / "model.safetensors")[f"{name}.weight"].double() for expert in family.experts.values())
        / 2
    )
    assert (x @ (found - best).T).norm() < 0.01 * (
        x @ (mean - best).T
    ).norm()  # where nothing is read, nothing is asked


def test_recipes_name_statistics_only_where_an_operator_reads_them(write: Callable[..., Path], tmp_path: Path) -> None:
    run = em.search.from_yaml(write(space=BOTH), run_dir=tmp_path / "run", evaluations=16)
    kinds = set()
    for candidate in run.candidates:
        operators = {rule.operator for rule in candidate.recipe.rules}
        kinds |= operators
        assert bool(candidate.recipe.statistics) == ("regmean" in operators)
        assert candidate.estimate is not None, candidate.failure
    assert {"regmean", "task_arithmetic", "passthrough"} <= kinds


def test_a_search_goes_on_after_its_cache_was_deleted_as_if_nothing_had_been(
    write: Callable[..., Path], tmp_path: Path, cache: Path
) -> None:
    file = write(space=BOTH)
    whole = em.search.from_yaml(file, run_dir=tmp_path / "whole", evaluations=14)
    shutil.rmtree(cache)
    em.search.from_yaml(file, run_dir=tmp_path / "parts", evaluations=9)
    shutil.rmtree(cache)
    again = em.search.from_yaml(file, run_dir=tmp_path / "parts", evaluations=14)
    assert told(whole) == told(again)
    shutil.rmtree(cache)
    regmean = next(c for c in again.candidates if c.recipe.statistics)
    again.verify(top=2)
    again.export(regmean.number, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "recipe.json").read_text())["statistics"] == regmean.recipe.statistics
    card = (tmp_path / "out" / "README.md").read_text()
    assert " prompts of " in card


def test_an_export_collects_again_what_was_deleted(write: Callable[..., Path], tmp_path: Path, cache: Path) -> None:
    run = em.search.from_yaml(write(), run_dir=tmp_path / "run")
    number = run.candidates[-1].number
    first = load_file(run.export(number, tmp_path / "first") / "model.safetensors")
    shutil.rmtree(cache)
    second = load_file(run.export(number, tmp_path / "second") / "model.safetensors")
    assert all(first[name].equal(second[name]) for name in first)


def test_a_worker_of_another_machine_collects_for_itself_and_scores_alike(
    write: Callable[..., Path], cache: Path
) -> None:
    parts = with_statistics(build_parts(campaign(write())))
    recipe = parts.space.decode(parts.space.start())
    here = build_worker(parts).evaluate(Candidate(0, recipe), Budget("search"))
    shutil.rmtree(cache)
    make = MakeWorker(dump_campaign(parts.config), parts.given, parts.statistics.owners)
    there = make().evaluate(Candidate(0, recipe), Budget("search"))
    assert here.scores == there.scores


def test_without_an_operator_that_reads_them_nothing_is_collected(
    write: Callable[..., Path], tmp_path: Path, cache: Path
) -> None:
    em.search.from_yaml(write(space={"operator": "ties", "layer_blocks": 1}), run_dir=tmp_path / "run", evaluations=7)
    assert not (cache / "statistics").exists()


def test_another_tokenizer_beside_the_same_weights_has_statistics_of_its_own(
    tmp_path: Path, family: Family, cache: Path
) -> None:
    del cache
    write_tasks(tmp_path)
    base = shutil.copytree(family.base, tmp_path / "base")
    data = {**campaign_data(family, base=str(base), space=REGMEAN), "statistics": {"prompts": 2}}
    (tmp_path / "campaign.yaml").write_text(json.dumps(data))

    def digest() -> str:
        given = gathering(build_parts(campaign(tmp_path / "campaign.yaml")))
        assert given is not None
        return given.digest("alpha", {"sums": "alpha", "words": "beta"})

    before = digest()
    assert digest() == before
    read = json.loads((base / "tokenizer.json").read_text())
    vocabulary = read["model"]["vocab"]
    plain = [token for token in vocabulary if token not in {added["content"] for added in read["added_tokens"]}]
    vocabulary |= dict(zip(plain, [vocabulary[token] for token in reversed(plain)], strict=True))
    (base / "tokenizer.json").write_text(json.dumps(read))
    assert digest() != before


def test_a_task_is_read_by_its_expert_and_a_parent_without_one_reads_all(write: Callable[..., Path]) -> None:
    objectives = [{"name": task, "tasks": [f"{task}.jsonl"], "expert": "beta"} for task in ("sums", "words")]
    notes: list[str] = []
    parts = with_statistics(build_parts(campaign(write(objectives=objectives))), say=notes.append)
    assert parts.statistics.owners == {"sums": "beta", "words": "beta"}
    assert notes == ["reading 16 prompts with 2 parents: statistics for regmean"]


def test_other_weights_than_a_search_began_with_are_refused(tmp_path: Path, family: Family, cache: Path) -> None:
    del cache
    write_tasks(tmp_path)
    own = shutil.copytree(family.experts["beta"], tmp_path / "beta")
    data = campaign_data(family, parents=[str(family.experts["alpha"]), str(own)], space=REGMEAN)
    (tmp_path / "campaign.yaml").write_text(json.dumps({**data, "statistics": {"prompts": 2}}))
    em.search.from_yaml(tmp_path / "campaign.yaml", run_dir=tmp_path / "run", evaluations=7)
    shutil.copy(family.base / "model.safetensors", own / "model.safetensors")
    with pytest.raises(EvomergeError, match=r"parent 'beta': model\.safetensors changed"):
        em.search.from_yaml(tmp_path / "campaign.yaml", run_dir=tmp_path / "run", evaluations=8)


def test_search_takes_the_section_and_its_mistakes_name_their_key(
    write: Callable[..., Path], tmp_path: Path, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    write()
    monkeypatch.chdir(tmp_path)
    given: dict[str, Any] = {
        "parents": list(family.experts.values()),
        "base": family.base,
        "objectives": ["sums.jsonl", "words.jsonl"],
        "space": em.spaces.Weights("regmean", layer_blocks=1),
        "optimiser": "random",
        "evaluations": 7,
        "export": {"dtype": "float32"},
    }
    run = em.search(**given, statistics={"prompts": 3}, run_dir="run")
    assert run.config.statistics.prompts == 3
    with pytest.raises(em.ConfigError, match=r"statistics.calibration: expected a file, found nothing at"):
        em.search(**given, statistics={"calibration": "none.jsonl"}, run_dir="other")
    with pytest.raises(em.ConfigError, match=r"statistics.moments.gamma: expected one of alpha, beta, found 'gamma'"):
        em.search(**given, statistics={"moments": {"gamma": "sums.jsonl"}}, run_dir="other")


@pytest.mark.slow
def test_two_workers_on_ray_score_what_one_in_process_scores(write: Callable[..., Path], tmp_path: Path) -> None:
    alone = em.search.from_yaml(write(), run_dir=tmp_path / "alone")
    several = em.search.from_yaml(write(), workers=2, run_dir=tmp_path / "several")
    assert dict(told(alone)) == dict(told(several))


def test_an_archive_notes_whose_tasks_were_whose(write: Callable[..., Path], tmp_path: Path) -> None:
    run = em.search.from_yaml(write(), run_dir=tmp_path / "run", evaluations=7)
    archive = Archive.read(run.directory / "archive.sqlite")
    noted = json.loads(archive.noted("statistics") or "")
    archive.close()
    assert noted["digests"].keys() == {"alpha", "beta"}
    assert noted["owners"].keys() == {"sums", "words"}


def test_a_recipe_whose_statistics_nobody_collected_says_what_to_do(
    write: Callable[..., Path], tmp_path: Path, cache: Path
) -> None:
    run = em.search.from_yaml(write(), run_dir=tmp_path / "run", evaluations=7)
    recipe = run.candidates[-1].recipe
    shutil.rmtree(cache)
    with pytest.raises(SpaceError, match=r"expected gram of a parent at .*, found none; collect them again"):
        em.merge(recipe, tmp_path / "out")
