"""A mergekit-evolve file becomes a campaign."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import evomerge as em
from evomerge.config import load_campaign
from evomerge.config.evolve import campaign_of_evolve
from evomerge.spaces.weights import Weights
from search_spaces.recipes.recipe import ParentSource
from tests.conftest import Family
from tests.evomerge.conftest import Outcome


def evolve(family: Family, *, tasks: object = None, **genome: object) -> dict[str, Any]:
    own = {"models": [str(path) for path in family.experts.values()], "merge_method": "ties", **genome}
    return {"genome": {"base_model": str(family.base), **own}, "tasks": tasks or ["arc_easy"]}


@pytest.fixture
def translated(tmp_path: Path) -> Callable[..., Any]:
    def translate(data: object) -> Any:
        file = tmp_path / "evolve.yml"
        file.write_text(yaml.safe_dump(data))
        found = campaign_of_evolve(file, tmp_path)
        campaign = tmp_path / "campaign.yaml"
        campaign.write_text(found.text)
        return load_campaign(campaign), found.remarks

    return translate


def test_models_groups_genes_and_tasks_are_taken_over(translated: Any, family: Family) -> None:
    tasks = ["arc_easy", {"name": "gsm8k", "metric": "exact_match,strict-match", "weight": 2.5}]
    data = evolve(family, tasks=tasks, layer_granularity=1, smooth=True, filters=["mlp", "self_attn"])
    config, remarks = translated({**data, "limit": 50, "num_fewshot": 3})
    assert remarks == ()
    assert config.sources == {name: ParentSource(str(path)) for name, path in family.parents.items()}
    space = config.space
    assert isinstance(space, Weights)
    assert space.operator == ("ties",)
    assert (space.groups.layer_blocks, space.groups.depth) == (2, "linear")
    assert space.groups.modules == ("attention", "mlp", "other")
    assert space.genes == {"weight": (0.0, 1.5), "density": (0.1, 1.0), "normalize": True, "lambda": 1.0}
    assert [(o.tasks, o.weight) for o in config.objectives] == [
        (("arc_easy:acc",), 1.0),
        (("gsm8k:exact_match,strict-match",), 2.5),
    ]
    assert (config.budget.evaluations, config.budget.items, config.prompts.num_fewshot) == (100, 100, 3)
    assert config.prompts.apply_chat_template is True
    assert config.optimiser.kind == "cma_es"


@pytest.mark.parametrize(
    ("method", "given", "genes"),
    [
        ("linear", {}, {"weight": (0.0, 1.5), "normalize": True}),
        ("task_arithmetic", {"allow_negative_weights": True}, {"weight": (-1.0, 1.5), "normalize": False}),
        ("slerp", {}, {"t": (0.0, 1.0)}),
        (
            "dare_ties",
            {"normalize": False},
            {"weight": (0.0, 1.5), "density": (0.1, 1.0), "normalize": False, "rescale": "l1"},
        ),
    ],
)
def test_each_method_has_its_genes(
    method: str, given: dict[str, Any], genes: object, translated: Any, family: Family
) -> None:
    config, _ = translated(evolve(family, merge_method=method, **given))
    assert {name: gene for name, gene in config.space.genes.items() if name != "lambda"} == genes
    assert config.space.genes.get("lambda", 1.0) == 1.0
    assert config.space.groups.layer_blocks == 1


def test_a_base_among_the_models_is_merged_only_where_the_method_merges_models(translated: Any, family: Family) -> None:
    models = [str(path) for path in family.parents.values()]
    for method, base in (("linear", "base"), ("ties", "base")):
        config, _ = translated(evolve(family, models=models, merge_method=method))
        names = [parent.name for parent in config.parents]
        assert names == (["base", "alpha", "beta"] if method == "linear" else ["alpha", "beta"])
        assert config.base_name == base


def test_what_a_campaign_cannot_say_is_told_and_stands_in_the_file(translated: Any, family: Family) -> None:
    tasks = [{"name": "wikitext", "metric": "word_perplexity,none", "weight": -1}]
    models = [str(path) for path in family.parents.values()]
    data = evolve(
        family, models=models, tasks=tasks, merge_method="slerp", filters=["q_proj"], tokenizer_source="hub/x"
    )
    config, remarks = translated({**data, "shuffle": True, "wandb": "x"})
    keys = [remark.partition(":")[0] for remark in remarks]
    assert keys == [
        "wandb",
        "genome.tokenizer_source",
        "genome.merge_method",
        "genome.filters",
        "tasks[0].weight",
        "shuffle",
    ]
    assert (config.tokenizer, config.space.operator) == ("union", ("multislerp",))
    assert [objective.weight for objective in config.objectives] == [1.0]


def test_a_model_that_is_not_here_leaves_the_depth_open(translated: Any, family: Family) -> None:
    config, remarks = translated(evolve(family, models=["hub/a", "hub/b"], layer_granularity=8))
    assert config.space.groups.layer_blocks == 4
    assert any("hub/a is not here to count its layers: set layer_blocks to their number / 8" in r for r in remarks)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"merge_method": "dare-ties"}, "genome.merge_method: expected one of .*did you mean 'dare_ties'"),
        ({"models": []}, "genome.models: expected a list of at least one"),
        ({"models": ["hub/a"]}, "genome.models: expected two or more beside the base, found .'a'."),
        ({"base_model": None}, "genome.base_model: expected one for ties, found none"),
        ({"layer_granularty": 8}, "genome: .*did you mean 'layer_granularity'"),
        ({"tasks": [{"metric": "acc"}]}, r"tasks\[0\].name: expected a task of lm-eval's, found None"),
        ({"tasks": [{"name": "a", "weight": "much"}]}, r"tasks\[0\].weight: expected a number, found 'much'"),
    ],
)
def test_what_cannot_be_read_names_its_key(
    change: dict[str, Any], message: str, translated: Any, family: Family
) -> None:
    with pytest.raises(em.EvomergeError, match=message):
        translated(evolve(family, **change))


def test_a_merges_file_is_told_from_a_searchs(translated: Any) -> None:
    with pytest.raises(em.EvomergeError, match="expected a mergekit-evolve file, one document with the key genome"):
        translated({"merge_method": "linear", "models": []})


def test_init_writes_it(evomerge: Callable[..., Outcome], family: Family, tmp_path: Path) -> None:
    file, out = tmp_path / "evolve.yml", tmp_path / "campaign.yaml"
    file.write_text(yaml.safe_dump({**evolve(family), "shuffle": True}))
    done = evomerge("init", "--from", file, "--out", out)
    assert done.code == 0, done.err
    assert done.err == "warning: shuffle: items are split by a seed, never by their order\n"
    assert load_campaign(out).name == "evolve"
    assert evomerge("init", "--from", file, "--out", out).code == 1
    assert "expected none beside a file" in evomerge("init", "a", "b", "--from", file, "--out", tmp_path / "c").err
