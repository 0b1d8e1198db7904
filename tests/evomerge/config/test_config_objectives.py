"""The keys of a campaign file that say what is measured and how it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from evomerge.config import CampaignConfig, load_campaign
from evomerge.config.changes import past_changing
from tests.evomerge.config.test_config_errors import GOOD, refused_text

MINIMAL = {
    "base": "hub/base",
    "parents": ["hub/a", "hub/b"],
    "objectives": [{"name": "maths", "tasks": ["gsm8k"]}],
}


def campaign(**changes: object) -> CampaignConfig:
    return CampaignConfig.model_validate({**MINIMAL, **changes})


def test_experts_prompts_and_python_tasks_are_read_and_resolved(tmp_path: Path) -> None:
    for name in ("checks.py", "words.jsonl"):
        (tmp_path / name).touch()
    tasks = ["words.jsonl:js_divergence", "python:checks.py:digits", "python:package.checks:digits", "arc_easy:margin"]
    data = {**MINIMAL, "objectives": [{"name": "all", "tasks": tasks, "expert": "a"}]}
    data["prompts"] = {"apply_chat_template": "tool_use", "system_instruction": "be brief", "num_fewshot": 0}
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(data))
    config = load_campaign(tmp_path / "campaign.yaml")
    assert config.objectives[0].expert == "a"
    assert config.objectives[0].tasks == (
        f"{tmp_path}/words.jsonl:js_divergence", f"python:{tmp_path}/checks.py:digits", *tasks[2:]
    )  # fmt: skip
    prompts = config.prompts
    assert (prompts.apply_chat_template, prompts.system_instruction) == ("tool_use", "be brief")
    assert (prompts.fewshot_as_multiturn, prompts.num_fewshot) == (True, 0)


def test_without_prompts_the_base_decides_about_its_template() -> None:
    prompts = campaign().prompts
    assert (prompts.apply_chat_template, prompts.system_instruction, prompts.num_fewshot) == (None, None, None)


def test_the_base_may_be_an_expert_where_there_is_one() -> None:
    objectives = [{"name": "all", "tasks": ["a:js_divergence"], "expert": "base"}]
    assert campaign(objectives=objectives).objectives[0].expert == "base"
    with pytest.raises(ValueError, match="one of a, b"):
        campaign(objectives=objectives, base=None, space={"operator": "linear"})


@pytest.mark.parametrize(
    ("objectives", "messages"),
    [
        ("{name: near, tasks: ['a:js_divergence']}",
         ["11: objectives[1].expert: expected the parent that js_divergence compares with, found nothing"]),
        ("{name: near, tasks: ['a:js_divergence'], expert: c}",
         ["11: objectives[1].expert: expected one of a, b, base, found 'c'"]),
        ("{name: near, tasks: ['a:js_divergence'], expert: bas}",
         ["11: objectives[1].expert: expected one of a, b, base, found 'bas'; did you mean 'base'?"]),
        ("{name: near, tasks: ['a:js_divergence'], expert: a}\n  - {name: too, tasks: ['a:js_divergence'], expert: b}",
         ["12: objectives[2].expert: expected 'a', which another objective says of the same task, found 'b'"]),
        ("{name: own, tasks: ['python:f']}",
         ["11: objectives[1].tasks[0]: expected python:MODULE:FUNCTION or python:FILE.py:FUNCTION, found 'python:f'"]),
        ("{name: own, tasks: ['python:none.py:f']}",
         ["11: objectives[1].tasks[0]: expected a file, found nothing at {here}/none.py"]),
        ("{name: own, tasks: ['none.jsonl:margin']}",
         ["11: objectives[1].tasks[0]: expected a file, found nothing at {here}/none.jsonl"]),
    ],
)  # fmt: skip
def test_what_an_objective_lacks_is_told(tmp_path: Path, objectives: str, messages: list[str]) -> None:
    text = GOOD.replace("{name: words, tasks: [arc_easy]}", objectives)
    expected = [f"campaign.yaml:{message}".replace("{here}", str(tmp_path)) for message in messages]
    assert refused_text(tmp_path, text).splitlines() == expected


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ("{apply_chat_template: 3}",
         "apply_chat_template: expected true, false or the name of a chat template, found 3"),
        ("{num_fewshot: -1}", "num_fewshot: expected a number of at least 0, found -1"),
        ("{fewshot_as_multiturn: 1}", "fewshot_as_multiturn: expected true or false, found 1"),
        ("{system: hello}", "system: expected one of apply_chat_template, chat_template_args, system_instruction, "
         "fewshot_as_multiturn, num_fewshot, found 'system'"),
    ],
)  # fmt: skip
def test_prompts_are_checked(tmp_path: Path, prompts: str, message: str) -> None:
    assert refused_text(tmp_path, f"{GOOD}prompts: {prompts}\n").startswith(f"campaign.yaml:18: prompts.{message}")


@pytest.mark.parametrize("written", [0.6, 1, "base", "a - 0.01", "b + 0.02", None])
def test_an_objective_may_be_constrained(written: object) -> None:
    objectives = [{"name": "all", "tasks": ["arc_easy"], "at_least": written}]
    bound = campaign(objectives=objectives).objectives[0].bound
    assert (bound is None) == (written is None)
    assert bound is None or bound.objective == "all"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("bas - 0.01", "at_least: expected a number or one of a, b, base, found 'bas'; did you mean 'base'?"),
        ("base-0.01", "at_least: expected a number or one of a, b, base, found 'base-0.01'; did you mean 'base'?"),
        ("[1]", "at_least: expected a number, or a checkpoint as in base - 0.01, found [1]"),
        ("true", "at_least: expected a number, or a checkpoint as in base - 0.01, found true"),
        (".nan", "at_least: expected a number, or a checkpoint as in base - 0.01, found nan"),
        ("''", "at_least: expected a number, or a checkpoint as in base - 0.01, found ''"),
    ],
)
def test_a_wrong_constraint_is_named(tmp_path: Path, written: str, message: str) -> None:
    text = GOOD.replace("tasks: [arc_easy]", f"tasks: [arc_easy], at_least: {written}")
    assert refused_text(tmp_path, text) == f"campaign.yaml:11: objectives[1].{message}"


def test_a_reduced_benchmark_is_a_file_or_more(tmp_path: Path) -> None:
    data = {**MINIMAL, "reduced": "benchmark.json"}
    short = CampaignConfig.model_validate(data, context={"directory": tmp_path}).reduced
    assert short is not None
    assert (short.file, short.items, short.estimator) == (str(tmp_path / "benchmark.json"), None, "auto")
    long = campaign(reduced={"file": "b.json", "items": 30, "estimator": "gmp-irt"}).reduced
    assert long is not None
    assert (long.items, long.estimator) == (30, "gmp-irt")
    assert campaign().reduced is None


def test_how_winners_are_judged_can_be_said(tmp_path: Path) -> None:
    default = campaign()
    assert (default.verification.margin, default.verification.masks) == (0.01, 3)
    assert not default.allow_benchmark_test_sets
    said = campaign(verification={"margin": 0.0, "masks": 0}, allow_benchmark_test_sets=True)
    assert (said.verification.margin, said.verification.masks, said.allow_benchmark_test_sets) == (0.0, 0, True)
    assert past_changing(default, said) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("verification", {"margin": -0.1}), ("verification", {"masks": 1.5}), ("allow_benchmark_test_sets", "yes")],
)
def test_wrong_ways_of_judging_are_refused(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=key):
        campaign(**{key: value})


def test_a_field_that_groups_items_holds_for_the_objectives_tasks_and_there_is_one_of_a_task() -> None:
    one = {"name": "a", "tasks": ["squad", "drop"], "group": "title"}
    config = campaign(objectives=[one, {"name": "b", "tasks": ["drop:f1", "squad"]}])
    assert config.groups == {"squad": "title", "drop": "title"}
    with pytest.raises(
        ValueError, match=r"objectives[\s\S]*expected 'title', which another objective says of the same"
    ):
        campaign(objectives=[one, {"name": "b", "tasks": ["squad"], "group": "none"}])


def test_final_items_are_a_share_of_what_the_others_leave_over() -> None:
    splits = {"search": 0.5, "validation": 0.2, "test": 0.2}
    assert "final" not in campaign(splits=splits).splits.shares
    assert campaign(splits={**splits, "final": 0.1}).splits.shares == {**splits, "final": 0.1}
    with pytest.raises(
        ValueError, match=r"at most 1.*found 1\.1 \(search 0\.5 \+ validation 0\.2 \+ test 0\.3 \+ final 0\.1"
    ):
        campaign(splits={"final": 0.1})
