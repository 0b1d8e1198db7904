import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from evomerge.config import RESERVED_NAMES, CampaignConfig, ConfigError, dump_campaign, load_campaign, overridden
from evomerge.config.statistics import MOMENTS
from evomerge.optimisers import Pymoo, Random
from evomerge.optimisers.registry import OPTIMISERS
from evomerge.spaces.genes import SEARCHED
from search_spaces.operators.registry import find_operator
from search_spaces.recipes.recipe import ParentSource

MINIMAL = {
    "base": "hub/base",
    "parents": ["hub/a", "hub/b"],
    "objectives": [{"name": "maths", "tasks": ["gsm8k"]}],
}


def campaign(**changes: object) -> CampaignConfig:
    return CampaignConfig.model_validate({**MINIMAL, **changes})


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str, name: str = "campaign.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_the_issues_example_is_read_as_it_stands(tmp_path: Path) -> None:
    for name in ("experts/arithmetic", "experts/words"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}")
    (tmp_path / "tasks").mkdir()
    for name in ("arithmetic", "words"):
        (tmp_path / "tasks" / f"{name}.jsonl").touch()
    (tmp_path / "campaign.yaml").write_text(EXAMPLE)
    config = load_campaign(tmp_path / "campaign.yaml")
    assert config.sources == {
        "base": ParentSource("HuggingFaceTB/SmolLM2-135M-Instruct"),
        "arithmetic": ParentSource(str(tmp_path / "experts/arithmetic")),
        "words": ParentSource(str(tmp_path / "experts/words")),
    }
    assert config.objectives[1].tasks == (str(tmp_path / "tasks/words.jsonl"),)
    assert config.space.genes == {"weight": (0.0, 1.5), "density": (0.2, 1.0), "lambda": 1.0}
    assert config.optimiser == Pymoo("nsga2", population=24)
    assert (config.budget.evaluations, config.budget.hours, config.export.dtype) == (400, 2.0, "bfloat16")


EXAMPLE = """\
name: math-and-words
base: HuggingFaceTB/SmolLM2-135M-Instruct     # hub id or directory
parents:
  - ./experts/arithmetic
  - {model: ./experts/words, name: words}
space:
  kind: weights
  operator: ties
  groups: {layer_blocks: 5, modules: [attention, mlp, other]}
  genes: {weight: [0.0, 1.5], density: [0.2, 1.0]}
objectives:
  - {name: arithmetic, tasks: [tasks/arithmetic.jsonl]}
  - {name: words, tasks: [tasks/words.jsonl], weight: 1.0}
splits: {search: 0.5, validation: 0.2, test: 0.3}
optimiser: {kind: nsga2, population: 24}
budget: {evaluations: 400, hours: 2}
workers: {backend: in_process, count: 1}
seed: 0
export: {dtype: bfloat16}
"""


def test_base_parents_and_objectives_are_enough(write) -> None:
    config = load_campaign(write(yaml.safe_dump(MINIMAL), "two-experts.yaml"))
    assert (config.name, config.base_name, config.space.operator) == ("two-experts", "base", ("task_arithmetic",))
    assert [parent.name for parent in config.parents] == ["a", "b"]


def test_a_file_called_campaign_is_named_after_its_directory(write, tmp_path: Path) -> None:
    assert load_campaign(write(yaml.safe_dump(MINIMAL))).name == tmp_path.name


def test_weights_and_few_evaluations_are_for_bayes_and_the_rest_for_cma_es_or_nsga2() -> None:
    several = [{"name": name, "tasks": [name]} for name in ("x", "y")]
    assert (
        campaign(objectives=several).optimiser.kind == campaign(budget={"evaluations": 300}).optimiser.kind == "bayes"
    )
    for many in ({"budget": {"evaluations": 301}}, {"space": "layer_flow"}):
        assert campaign(**many).optimiser.kind == "cma_es"
        assert campaign(**many, objectives=several).optimiser.kind == "nsga2"


def test_without_a_base_the_first_parent_donates_and_stays_a_parent() -> None:
    config = campaign(base=None, space={"operator": "linear"})
    assert config.base_name == "a"
    assert list(config.sources) == ["a", "b"]


def test_further_optimiser_keys_are_kept_for_the_library() -> None:
    optimiser = campaign(optimiser={"kind": "cma_es", "tolx": 1e-9, "CMA_active": True}).optimiser
    assert optimiser.model_extra == {"tolx": 1e-9, "CMA_active": True}


def test_the_record_of_an_older_search_names_keys_that_its_optimiser_does_not_have() -> None:
    for kind in OPTIMISERS.names:
        space = {"kind": "niches" if kind in ("m2n2", "cycle_qd") else "weights"}
        assert (
            campaign(space=space, optimiser={"kind": kind, "population": None, "warm_start": []}).optimiser.kind == kind
        )


def test_a_kind_alone_may_stand_for_its_section_and_optimiser_may_be_spelt_with_a_z() -> None:
    assert campaign(optimizer="random", space="layer_flow").model_dump() == (
        campaign(optimiser={"kind": "random"}, space={"kind": "layer_flow"}).model_dump()
    )
    stages = [{"name": "first", "space": {"operator": "ties"}, "optimizer": {"kind": "random"}}]
    assert campaign(stages=stages).stages[0].optimiser == Random()


def test_numbers_follow_yaml_1_2(write) -> None:
    text = yaml.safe_dump(MINIMAL) + "optimiser: {kind: cma_es, tolx: 1e-9, tag: 1:30, day: 2026-01-01, flag: no}\n"
    options = load_campaign(write(text), files_must_exist=False).optimiser.model_extra
    assert options == {"tolx": 1e-9, "tag": "1:30", "day": "2026-01-01", "flag": "no"}


def test_only_what_exists_or_looks_like_a_path_is_resolved(write, tmp_path: Path) -> None:
    (tmp_path / "campaign").mkdir()
    for name in ("campaign/local/a", "c", "campaign/~no.such.user/e"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").touch()
    (tmp_path / "campaign" / "gsm8k").mkdir()  # lm-eval's task of this name is meant all the same
    (tmp_path / "campaign" / "my").mkdir()
    (tmp_path / "campaign" / "t.jsonl").touch()
    (tmp_path / "campaign" / "my" / "t.yaml").touch()
    tasks = ["gsm8k", "arc_easy:acc", "t.jsonl", "my/t.yaml:acc"]
    parents = ["local/a", "hub/b", "../c", "~no.such.user/e"]
    data = {**MINIMAL, "parents": parents, "objectives": [{"name": "x", "tasks": tasks}]}
    new = load_campaign(write(yaml.safe_dump(data), "campaign/campaign.yaml"))
    home = tmp_path / "campaign"
    expected = [str(home / "local/a"), "hub/b", str(tmp_path / "c"), str(home / "~no.such.user/e")]
    assert [parent.model for parent in new.parents] == expected
    assert new.objectives[0].tasks == (*tasks[:2], str(home / "t.jsonl"), str(home / "my/t.yaml") + ":acc")
    assert [parent.name for parent in new.parents] == ["a", "b", "c", "e"]
    assert load_campaign(write(dump_campaign(new), "elsewhere.yaml")) == new


def test_the_record_of_a_campaign_is_read_after_its_inputs_have_moved(write) -> None:
    path = write(dump_campaign(campaign(parents=["/gone/a", "/gone/b"])))
    assert load_campaign(path, files_must_exist=False).parents[0].model == "/gone/a"


def test_the_command_line_overrides_budget_and_workers() -> None:
    config = overridden(campaign(), evaluations=7, workers=3)
    assert (config.budget.evaluations, config.workers.count, config.workers.backend) == (7, 3, "ray")
    assert overridden(config) == config


def test_more_workers_score_one_candidate_each_at_a_time() -> None:
    config = overridden(campaign(workers={"together": 8}), workers=1)
    assert (config.workers.backend, config.workers.together) == ("in_process", 8)
    assert overridden(config, workers=2).workers.together is None


@pytest.mark.parametrize("option", ["evaluations", "workers"])
def test_the_command_line_cannot_ask_for_nothing(option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option}: expected a whole number, at least 1, found 0"):
        overridden(campaign(), **{option: 0})


def test_importing_config_loads_neither_torch_nor_numpy() -> None:
    code = "import sys, evomerge.config, evomerge.config.template; print({'torch', 'numpy', 'ray'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


printable = st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])
texts = st.text(printable, max_size=8) | st.text(" ab", min_size=100, max_size=200)
scalars = st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
words = st.text(printable, min_size=1, max_size=8)

tasks = words.filter(lambda word: not word.startswith("python:"))


WITHOUT_FURTHER_KEYS = [
    name
    for name in SEARCHED
    if name != "mwa" and find_operator(name).n_inputs[1] != 2 and MOMENTS not in find_operator(name).statistics
]


@st.composite
def campaigns(draw: st.DrawFn) -> CampaignConfig:
    operator = draw(st.sampled_from(WITHOUT_FURTHER_KEYS))
    kinds = {n: kind for n, kind in find_operator(operator).kinds.items() if kind.gene is not None and n != "weight"}
    named = draw(st.sets(st.sampled_from(sorted(kinds)), max_size=3))
    genes = {n: list(kind.gene or ()) for n, kind in kinds.items() if n in named}
    names = draw(
        st.lists(words.filter(lambda w: w not in ("base", "..", *RESERVED_NAMES)), min_size=2, max_size=4, unique=True)
    )
    option = words.map(lambda w: f"library_option_{w}")
    options = draw(st.dictionaries(option, scalars | st.lists(scalars, max_size=3), max_size=3))
    return campaign(
        name="n" + draw(st.text("abc1e- _.", max_size=6)),
        parents=[{"model": draw(words), "name": name, "revision": draw(st.none() | words)} for name in names],
        space={"operator": [operator], "genes": genes},
        objectives=[{"name": draw(words), "tasks": draw(st.lists(tasks, min_size=1, max_size=3))}],
        optimiser={"kind": "nsga2", **options},
        budget={"hours": draw(st.none() | st.floats(1e-300, 1e6))},
        seed=draw(st.integers(0, 2**64 - 1)),
    )


@settings(deadline=None)
@given(config=campaigns())
def test_every_config_survives_being_written_and_read(tmp_path_factory, config: CampaignConfig) -> None:
    path = tmp_path_factory.mktemp("campaign") / "campaign.yaml"
    path.write_text(dump_campaign(config), encoding="utf-8")
    assert load_campaign(path, files_must_exist=False) == config


@pytest.mark.parametrize("key", ["optimiser", "optimizer"])
@pytest.mark.parametrize("override", ["optimiser", "optimizer"])
def test_a_key_is_overridden_in_either_spelling(key: str, override: str, tmp_path: Path) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text(
        f"base: c/c\nparents: [a/a, b/b]\nobjectives: [{{name: x, tasks: [arc_easy]}}]\n{key}: {{kind: nsga2}}\n"
    )
    assert load_campaign(file, overrides=[f"{override}.kind=random"]).optimiser.kind == "random"
    assert load_campaign(file, overrides={override: {"kind": "random"}}).optimiser.kind == "random"
    with pytest.raises(ConfigError, match=r"it was set by"):
        load_campaign(file, overrides=[f"{override}.kind=rndom"])
