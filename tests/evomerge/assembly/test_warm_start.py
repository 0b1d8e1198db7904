"""A search may begin at recipes from files and at the fronts of other runs, and goes on without them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from evomerge.archive import Archive, Asked
from evomerge.assembly.warm_start import WarmStart, warm_start
from evomerge.campaign.campaign import Campaign
from evomerge.campaign.progress import Limits
from evomerge.config import CampaignConfig, load_campaign
from evomerge.optimisers import Problem
from evomerge.optimisers.random_search import RandomSearch
from evomerge.results.front import read_front
from evomerge.workers.in_process import InProcessPool
from search_spaces.errors import SpaceError
from search_spaces.recipes.groups import Groups
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule
from search_spaces.spaces.weight_space import WeightSpace
from tests.evomerge.config.test_config_errors import GOOD, refused_text
from tests.evomerge.toy import PARENTS, ToyEstimator, ToySpace, ToyWorker, weights_recipe
from tests.evomerge.toy_run import run_toy


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive.create(tmp_path / "ours.sqlite", "name: ours\n")


def started(paths: list[Path], archive: Archive) -> WarmStart:
    return warm_start([str(path) for path in paths], ToySpace(), PARENTS, archive)


def test_a_recipe_of_ours_is_a_start_point_whatever_it_calls_its_checkpoints(tmp_path: Path, archive: Archive) -> None:
    sources = {"b": PARENTS["base"], "first": PARENTS["alpha"], "second": PARENTS["beta"]}
    inputs = (Input("first", {"weight": 0.25}), Input("second", {"weight": 0.75}))
    (tmp_path / "r.json").write_text(Recipe(sources, "b", (Rule("task_arithmetic", inputs),)).to_json())
    found = started([tmp_path / "r.json"], archive)
    assert [g.tolist() for g in found.genomes] == [[0.25, 0.75]]
    assert [(mark.name, mark.recipe) for mark in found.landmarks] == [("warm start 1", weights_recipe(0.25, 0.75))]
    assert found.notes == (f"warm start: 1 of 1 recipes of {tmp_path}/r.json",)


def test_the_front_of_another_run_gives_what_fits_best_first(tmp_path: Path, archive: Archive) -> None:
    (tmp_path / "run").mkdir()
    run_toy(tmp_path / "run" / "archive.sqlite", "random", 30)
    points = read_front(Archive.read(tmp_path / "run" / "archive.sqlite")).points
    found = started([tmp_path / "run"], archive)
    expected = sorted(points, key=lambda p: (-p.estimate.mean, p.candidate.number))
    assert [mark.recipe for mark in found.landmarks] == [point.candidate.recipe for point in expected]
    assert len(found.genomes) == len(points) > 2


def test_recipes_of_a_front_that_do_not_fit_are_left_out_and_counted(tmp_path: Path, archive: Archive) -> None:
    class OnlyAlpha(ToySpace):
        def encode(self, recipe: Recipe) -> np.ndarray:
            genome = super().encode(recipe)
            if genome[0] < 0.5:
                raise SpaceError("weight: expected more")
            return genome

    (tmp_path / "run").mkdir()
    run_toy(tmp_path / "run" / "archive.sqlite", "random", 30)
    points = read_front(Archive.read(tmp_path / "run" / "archive.sqlite")).points
    found = warm_start([str(tmp_path / "run")], OnlyAlpha(), PARENTS, archive)
    assert 0 < len(found.genomes) < len(points)
    assert found.notes == (f"warm start: {len(found.genomes)} of {len(points)} recipes of {tmp_path}/run",)


def test_a_mergekit_file_is_a_start_point_of_a_weight_space(tmp_path: Path, archive: Archive, family) -> None:
    sources = {"base": ParentSource(str(family.base))}
    sources |= {name: ParentSource(str(path)) for name, path in family.experts.items()}
    names = list(family.experts)
    space = WeightSpace(
        sources, "base", n_layers=2, operators=("ties",), groups=Groups(1), genes={"weight": (0.0, 1.0)}
    )
    models = [
        {"model": str(family.experts[name]), "parameters": {"weight": w, "density": 0.5}}
        for name, w in zip(names, (0.25, 0.5, 0.75), strict=False)
    ]
    document = {"merge_method": "ties", "base_model": str(family.base), "models": models, "dtype": "float32"}
    (tmp_path / "merge.yml").write_text(yaml.safe_dump(document))
    found = warm_start([str(tmp_path / "merge.yml")], space, sources, archive)
    weights = {i.parent: i.parameters["weight"] for i in found.landmarks[0].recipe.rules[0].inputs}
    assert weights == pytest.approx({name: (0.25, 0.5, 0.75)[i] for i, name in enumerate(names)})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("r.json", "{}", "expected"),
        ("none.json", None, "expected a recipe or the directory of a run, found nothing at"),
        ("r.json", Recipe({"b": ParentSource("/other")}, "b", (Rule("linear", (Input("b"),)),)).to_json(),
         r"cannot express it: parents: expected checkpoints of this campaign .*, found b \(/other\)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(tmp_path: Path, archive: Archive, name: str, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(SpaceError, match=message):
        started([tmp_path / name], archive)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpaceError, match="expected the directory of a run, with archive"):
        started([tmp_path / "empty"], archive)


def test_a_resumed_search_starts_where_it_started_whatever_became_of_the_file(tmp_path: Path, archive: Archive) -> None:
    path = tmp_path / "r.json"
    path.write_text(weights_recipe(0.2, 0.4).to_json())
    first = started([path], archive)
    path.write_text(weights_recipe(0.9, 0.9).to_json())
    assert [g.tolist() for g in started([path], archive).genomes] == [g.tolist() for g in first.genomes]
    path.unlink()
    again = started([path], archive)
    assert [mark.recipe for mark in again.landmarks] == [weights_recipe(0.2, 0.4)]


def test_start_points_are_scored_as_landmarks_after_those_of_the_space(tmp_path: Path, archive: Archive) -> None:
    (tmp_path / "r.json").write_text(weights_recipe(0.2, 0.4).to_json())
    found = started([tmp_path / "r.json"], archive)
    Campaign(
        archive,
        ToySpace(),
        RandomSearch(2, seed=0),
        estimator=ToyEstimator(),
        pool=InProcessPool(ToyWorker),
        limits=Limits(10),
        landmarks=found.landmarks,
    ).run()
    assert [c.label for c in archive.landmarks()] == ["alpha", "beta", "uniform mean", "warm start 1"]
    assert len(archive.records()) == 10


@pytest.mark.parametrize("kind", ["cma_es", "nsga2", "de", "moead"])
def test_optimisers_begin_at_the_start_points(kind: str) -> None:
    config = CampaignConfig.model_validate(
        {
            "base": "hub/base",
            "parents": ["hub/a", "hub/b"],
            "objectives": [{"name": "x", "tasks": ["t"]}, {"name": "y", "tasks": ["t"]}],
            "optimiser": {"kind": kind, **({"sigma0": 0.01} if kind == "cma_es" else {})},
        }
    )
    sources = {name: ParentSource(f"/models/{name}") for name in ("base", "a", "b")}
    space = WeightSpace(
        sources, "base", n_layers=4, operators=("linear",), groups=Groups(2), genes={"weight": (0.0, 1.0)}
    )
    rng = np.random.default_rng(0)
    starts = [rng.random(space.dim) for _ in range(3)]
    problem = Problem(space, 0, {"x": 1.0, "y": 1.0}, 100, tuple(starts))
    genomes = np.array(config.optimiser.build(problem).ask(24))
    if kind == "cma_es":
        assert np.mean(genomes, axis=0) == pytest.approx(starts[0], abs=0.03)
    else:
        assert genomes[:3].tolist() == [start.tolist() for start in starts]
    (first,) = config.optimiser.build(replace(problem, given=())).ask(1)
    assert first == pytest.approx(np.full(space.dim, 0.5), abs=0.05)


def test_x0_and_warm_start_contradict_each_other(tmp_path: Path) -> None:
    text = GOOD.replace("{kind: nsga2, population: 24}", "{kind: cma_es, x0: 0.3, warm_start: r.json}")
    assert "13: optimiser.x0: expected no such key beside warm_start, found 0.3" in refused_text(tmp_path, text)


def test_paths_are_checked_and_resolved(tmp_path: Path) -> None:
    (tmp_path / "merge.yml").touch()
    text = GOOD.replace("{kind: nsga2, population: 24}", "{kind: nsga2, warm_start: merge.yml}")
    (tmp_path / "good.yaml").write_text(text)
    config = load_campaign(tmp_path / "good.yaml")
    assert config.optimiser.warm_start == (str(tmp_path / "merge.yml"),)
    message = f"expected a recipe file or the directory of a run, found nothing at {tmp_path}/merg.yml"
    assert refused_text(tmp_path, text.replace("merge.yml", "merg.yml")) == (
        f"campaign.yaml:13: optimiser.warm_start: {message}; did you mean 'merge.yml'?"
    )


def test_a_campaign_starts_from_a_finished_one(evomerge, campaign_file, finished: Path, tmp_path: Path) -> None:
    """The same parents, tasks and space; two landmarks more for each point of the old front."""
    path = campaign_file(
        optimiser={"kind": "nsga2", "population": 4, "warm_start": str(finished)}, budget={"evaluations": 12}
    )
    out = evomerge("run", path, "--run-dir", tmp_path / "run")
    assert out.code == 0, out.err
    front = json.loads(evomerge("pareto", finished, "--json").out)["front"]
    assert f" of {len(front)} recipes of {finished}" in out.out
    archive = Archive.read(tmp_path / "run" / "archive.sqlite")
    warm = [c for c in archive.landmarks() if str(c.label).startswith("warm start")]
    assert warm
    first = next(e for e in archive.history() if isinstance(e, Asked) and e.candidates[0].proposal == 0)
    assert first.candidates[0].recipe == warm[0].recipe
