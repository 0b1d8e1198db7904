"""Optimisers, operators and spaces of other packages: by entry point, by dotted path, and what a wrong one says."""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

import evomerge as em
from evomerge import plugins
from evomerge.archive import Archive
from evomerge.config import CampaignConfig, ConfigError, dump_campaign, load_campaign, read_campaign
from evomerge.optimisers import Problem
from evomerge.optimisers.random_search import RandomSearch
from evomerge.testing import OptimiserContract
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule
from search_spaces.spaces.space import Landmark
from tests.evomerge.config.test_config_errors import GOOD, refused_text
from tests.evomerge.config.test_config_schema import SCHEMA
from tests.evomerge.toy import ToySpace

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin"
sys.path.append(str(EXAMPLE))  # for the contract, which names the class


def wants(dim: int, seed: int, *, size: int, name: str = "x", rates: tuple[float, ...] = (0.5,)) -> RandomSearch:
    """A function will do as well; `size` has no default."""
    assert (size, name, rates) == (3, "x", (0.1, 0.2))
    return RandomSearch(dim, seed=seed)


class Shares:
    """A space of another package: the shares of all parents, squeezed towards the mean."""

    def __init__(self, sources: dict[str, ParentSource], base: str, names: list[str], *, squeeze: float = 0.0) -> None:
        self.sources, self.base, self.names, self.squeeze = sources, base, names, squeeze
        self.dim = len(names)

    def decode(self, genome: NDArray[np.float64]) -> Recipe:
        weights = self.squeeze / 2 + (1 - self.squeeze) * genome
        return self._recipe(dict(zip(self.names, map(float, weights), strict=True)))

    def encode(self, recipe: Recipe) -> NDArray[np.float64]:
        weights = np.array([i.parameters["weight"] for i in recipe.rules[0].inputs], dtype=np.float64)
        return np.clip((weights - self.squeeze / 2) / (1 - self.squeeze), 0, 1)

    def landmarks(self) -> list[Landmark]:
        return [
            Landmark(name, Recipe(self.sources, self.base, (Rule("passthrough", (Input(name),)),), dtype="float32"))
            for name in self.sources
        ]

    def _recipe(self, weights: dict[str, float]) -> Recipe:
        inputs = tuple(Input(name, {"weight": weight}) for name, weight in weights.items())
        return Recipe(self.sources, self.base, (Rule("task_arithmetic", inputs),), dtype="float32")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example package, installed."""
    target = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source") / "plugin"
    source.mkdir()
    for file in EXAMPLE.rglob("*"):
        if file.suffix in (".py", ".toml"):
            (source / file.relative_to(EXAMPLE)).parent.mkdir(exist_ok=True)
            (source / file.relative_to(EXAMPLE)).write_text(file.read_text())
    options = ["--quiet", "--no-build-isolation", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True)
    return target


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(site)
    importlib.invalidate_caches()
    yield
    importlib.invalidate_caches()


class TestHillClimb(OptimiserContract):
    factory = "evomerge_example.search:HillClimb"
    arguments: ClassVar = {"dim": 3, "seed": 0, "weights": {"left": 1.0, "right": 1.0}}


def campaign(tmp_path: Path, **sections: Any) -> CampaignConfig:
    data = {**yaml.safe_load(GOOD), **sections}
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(data))
    return load_campaign(tmp_path / "campaign.yaml")


def test_a_module_in_the_folder_of_the_campaign_file_is_found_from_any_other(
    campaign_file: Callable[..., Path], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (tmp_path / "my_search_beside.py").write_text(
        "from evomerge.optimisers.random_search import RandomSearch\n\n\n"
        "class MySearch(RandomSearch):\n"
        "    def __init__(self, dim, seed):\n        super().__init__(dim, seed=seed)\n"
    )
    file = campaign_file(optimiser={"kind": "my_search_beside:MySearch"}, budget={"evaluations": 6})
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    console_script = [sys.executable, "-P", "-c", "from evomerge.cli.app import main; main()"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    for folder, *command in (
        (elsewhere, "run", str(file), "--run-dir", str(tmp_path / "run")),
        (tmp_path, "verify", "run", "--top", "1"),
    ):
        subprocess.run([*console_script, *command], cwd=folder, env=environment, check=True)


@pytest.mark.usefixtures("installed")
def test_an_installed_optimiser_is_found_by_its_name_and_keeps_its_options(tmp_path: Path) -> None:
    config = campaign(tmp_path, optimiser={"kind": "hill_climb", "step": 0.2})
    assert config.optimiser.model_dump() == {"kind": "hill_climb", "warm_start": (), "children": 6, "step": 0.2}
    assert config.optimiser.maximises_mean
    assert read_campaign(dump_campaign(config)) == config
    assert plugins.plugin_paths("evomerge.optimisers") == {"hill_climb": "evomerge_example.search:HillClimb"}


def test_a_dotted_path_needs_no_installation(tmp_path: Path) -> None:
    config = campaign(tmp_path, optimiser={"kind": f"{__name__}:wants", "size": 3, "rates": [0.1, 0.2]})
    assert len(config.optimiser.build(Problem(Full(), 0, {"x": 1.0}, 10)).ask(4)) == 4
    jsonschema.validate(yaml.safe_load((tmp_path / "campaign.yaml").read_text()), SCHEMA)


class Full(ToySpace):
    @property
    def structure(self) -> Any:
        from search_spaces.spaces.space import Structure

        return Structure(2, (), (0, 0))

    def start(self) -> NDArray[np.float64]:
        return np.full(2, 0.5)


@pytest.mark.parametrize(
    ("optimiser", "message"),
    [
        ("kind: evomerge_example.search:HillClimb, step: high", "step: expected a number, found 'high'"),
        ("kind: evomerge_example.search:HillClimb, stpe: 0.2", "stpe: expected one of kind, warm_start, children, "
         "step, found 'stpe'; did you mean 'step'?"),
        ("kind: evomerge_example.search:HillClimb, children: 2.5", "children: expected a whole number, found 2.5"),
        (f"kind: {__name__}:wants", "size: expected this key, found nothing"),
        ("kind: evomerge_example.search:HilClimb", "kind: expected something that evomerge_example.search has, found "
         "'HilClimb'; did you mean 'HillClimb'?"),
        ("kind: no_such_package.search:It", "kind: expected a module that can be imported, found "
         "'no_such_package.search' (ModuleNotFoundError: No module named 'no_such_package'); install its package, or "
         "add its directory to PYTHONPATH"),
        (f"kind: {__name__}:EXAMPLE", "kind: expected a class or a function, found "),
    ],
)  # fmt: skip
def test_a_wrong_one_is_told_with_key_and_line(tmp_path: Path, optimiser: str, message: str) -> None:
    text = GOOD.replace("kind: nsga2, population: 24", optimiser)
    assert refused_text(tmp_path, text).startswith(f"campaign.yaml:13: optimiser.{message}")


def test_a_space_of_another_package_says_its_options(tmp_path: Path) -> None:
    config = campaign(tmp_path, space={"kind": f"{__name__}:Shares", "squeeze": 0.5})
    assert config.space.model_dump() == {"kind": f"{__name__}:Shares", "squeeze": 0.5}
    with pytest.raises(ConfigError, match=r"space.sqeeze: expected one of kind, squeeze, found 'sqeeze'; did you mean"):
        campaign(tmp_path, space={"kind": f"{__name__}:Shares", "sqeeze": 0.5})


def test_a_search_with_optimiser_and_space_of_other_packages(
    evomerge: Any, campaign_file: Callable[..., Path], tmp_path: Path
) -> None:
    path = campaign_file(
        space={"kind": f"{__name__}:Shares"},
        optimiser={"kind": "evomerge_example.search:HillClimb", "children": 3},
        estimator="fitness.estimation:MeanEstimator",
    )
    for command in (["plan", str(path)], ["run", str(path), "--run-dir", str(tmp_path / "run")]):
        result = evomerge(*command)
        assert result.code == 0, result.err
    assert "gene 1" in evomerge("plan", path).out


def test_an_estimator_of_another_package_is_called_with_what_it_asks_for(tmp_path: Path) -> None:
    assert campaign(tmp_path, estimator="fitness.estimation:MeanEstimator").estimator is not None
    with pytest.raises(ConfigError, match=r"estimator: expected something that fitness.estimation has, found 'Mean'"):
        campaign(tmp_path, estimator="fitness.estimation:Mean")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("operator", "optimiser"),
    [("middle", "hill_climb"), ("evomerge_example.operators:MIDDLE", "evomerge_example.search:HillClimb")],
)
def test_a_search_with_operator_and_optimiser_of_another_package(
    evomerge: Any, campaign_file: Callable[..., Path], tmp_path: Path, operator: str, optimiser: str
) -> None:
    path = campaign_file(
        space={"operator": operator, "groups": {"layer_blocks": 1}}, optimiser={"kind": optimiser, "children": 3}
    )
    result = evomerge("run", str(path), "--run-dir", str(tmp_path / "run"))
    assert result.code == 0, result.err
    with contextlib.closing(Archive.read(tmp_path / "run" / "archive.sqlite")) as archive:
        proposed = [archive.candidate(r.number) for r in archive.records("search") if r.estimate is not None]
    assert {c.recipe.rules[0].operator for c in proposed if c.proposal is not None} == {operator}


HEARD: list[object] = []


def longest_word(model: Any, tokenizer: Any) -> dict[str, float]:
    """A task of another package: two items, from the norm of the weights."""
    norm = sum(float(parameter.double().norm()) for parameter in model.parameters())
    return {f"item {i}": norm % (1 + i) / (1 + i) for i in range(30)}


@pytest.fixture
def entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package whose metadata name a callback and a task of this file."""
    metadata = tmp_path / "site" / "others-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    points = {"callbacks": f"listener = {__name__}:HEARD.append", "tasks": f"long = {__name__}:longest_word"}
    text = "\n".join(f"[evomerge.{group}]\n{line}" for group, line in points.items())
    (metadata / "entry_points.txt").write_text(text)
    monkeypatch.syspath_prepend(metadata.parent)
    importlib.invalidate_caches()
    HEARD.clear()
    yield
    HEARD.clear()
    importlib.invalidate_caches()


@pytest.mark.usefixtures("entry_points")
def test_a_callback_and_a_task_that_an_installed_package_names_take_part_in_a_search(
    evomerge: Any, campaign_file: Callable[..., Path], tmp_path: Path
) -> None:
    path = campaign_file(objectives=[{"name": "length", "tasks": ["long"]}])
    result = evomerge("run", str(path), "--run-dir", str(tmp_path / "run"))
    assert result.code == 0, result.err
    asked, told, ended = (
        [e for e in HEARD if isinstance(e, kind)] for kind in (em.CandidateAsked, em.CandidateTold, em.SearchEnded)
    )
    assert len(asked) == len(told) >= 12
    assert len(ended) == 1
    with contextlib.closing(Archive.read(tmp_path / "run" / "archive.sqlite")) as archive:
        records = archive.records("search")
        assert {o.name for r in records if r.estimate for o in r.estimate.objectives} == {"length"}
