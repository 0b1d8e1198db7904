"""The section `schedule` of a campaign file, and what became of `racing`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import ValidationError

from evomerge.archive import Archive
from evomerge.config import CampaignConfig, dump_campaign, load_campaign
from evomerge.config.campaign_file import stage_config
from evomerge.config.changes import as_diff, past_changing
from evomerge.optimisers.options import Random
from evomerge.schedules import AllItemsConfig, HalvingConfig, OwnItemsConfig, ScheduleOptions, ScreenConfig
from tests.evomerge.config.test_config_errors import GOOD, refused_text

DATA = {"base": "hub/base", "parents": ["hub/a", "hub/b"], "objectives": [{"name": "x", "tasks": ["t"]}]}
NSGA2 = "{kind: nsga2, population: 24}"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("halving", HalvingConfig(kind="halving", first=0.125, keep=0.5)),
        ({"kind": "halving", "keep": 0.25}, HalvingConfig(kind="halving", keep=0.25)),
        ("screen", ScreenConfig(kind="screen", then=AllItemsConfig())),
        ({"kind": "screen", "then": "halving"}, ScreenConfig(kind="screen", then=HalvingConfig(kind="halving"))),
        ("all_items", AllItemsConfig()),
        ({"kind": "own_items", "landmarks": "all"}, OwnItemsConfig(landmarks="all")),
        ({"kind": "screen", "then": "own_items"}, ScreenConfig(kind="screen", then=OwnItemsConfig(kind="own_items"))),
    ],
)
def test_a_schedule_is_one_word_or_a_section_and_is_written_out_as_it_is_read(
    tmp_path: Path, written: object, read: object
) -> None:
    config = CampaignConfig.model_validate({**DATA, "schedule": written, "budget": {"items": 6}})
    assert config.schedule == read
    (tmp_path / "campaign.yaml").write_text(dump_campaign(config))
    assert load_campaign(tmp_path / "campaign.yaml", files_must_exist=False) == config


class FirstItems(ScheduleOptions):
    """A schedule of another package."""

    first: int = 3


def test_a_schedule_of_another_package_brings_its_options(tmp_path: Path) -> None:
    mine = {"kind": f"{__name__}:FirstItems", "first": 5}
    config = CampaignConfig.model_validate({**DATA, "schedule": {"kind": "screen", "then": mine}})
    assert config.schedule == ScreenConfig(then=FirstItems.model_validate(mine))
    (tmp_path / "campaign.yaml").write_text(dump_campaign(config))
    assert load_campaign(tmp_path / "campaign.yaml", files_must_exist=False) == config
    with pytest.raises(ValidationError, match="expected a subclass of evomerge"):
        CampaignConfig.model_validate({**DATA, "schedule": f"{__name__}:refused_text"})


def test_everybody_answers_everything_unless_the_file_says_otherwise() -> None:
    assert CampaignConfig.model_validate(DATA).schedule == AllItemsConfig()


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("havling", "schedule: expected one of all_items, own_items, halving, screen, found 'havling'; did you mean"),
        ("{kind: halving, first: 0}", "schedule.first: expected a number above 0, found 0"),
        ("{kind: halving, keep: 1.0}", "schedule.keep: expected a number below 1, found 1.0"),
        ("{kind: halving, rungs: 4}", "schedule.rungs: expected one of kind, first, keep, found 'rungs'"),
        ("{kind: screen, prompts: 0}", "schedule.prompts: expected a number of at least 1, found 0"),
        ("{kind: screen, then: screen}", "schedule.then: expected one of all_items, own_items, halving"),
        ("{kind: own_items, landmarks: 0}", "schedule.landmarks: expected all, or a whole number above 0, found 0"),
        (
            "own_items",
            "schedule: expected budget.items beside it, found 'own_items'; say how many",
        ),
        ("own_items\nreduced: r.json", "schedule: expected no own_items beside reduced, found 'own_items'; own items"),
        ("{kind: screen, then: {kind: halving, keep: 0}}", "schedule.then.keep: expected a number above 0, found 0"),
    ],
)
def test_wrong_values_are_refused(tmp_path: Path, schedule: str, message: str) -> None:
    assert message in refused_text(tmp_path, GOOD + f"schedule: {schedule}\n")


@pytest.mark.parametrize("optimiser", ["greedy_soup", "direct", "moead", "cma_es, lq: true"])
@pytest.mark.parametrize("schedule", ["halving", "screen"])
def test_optimisers_that_need_every_answer_take_all_items(tmp_path: Path, optimiser: str, schedule: str) -> None:
    text = GOOD.replace(NSGA2, f"{{kind: {optimiser}}}") + f"schedule: {schedule}\n"
    expected = f"schedule: expected all_items with optimiser {optimiser.partition(',')[0]}, found '{schedule}'; "
    assert expected in refused_text(tmp_path, text)


@pytest.mark.parametrize("optimiser", ["random", "cma_es", "nsga2", "structured"])
def test_optimisers_with_generations_and_random_search_take_any(tmp_path: Path, optimiser: str) -> None:
    (tmp_path / "campaign.yaml").write_text(GOOD.replace(NSGA2, f"{{kind: {optimiser}}}") + "schedule: halving\n")
    assert load_campaign(tmp_path / "campaign.yaml").schedule.kind == "halving"


@pytest.mark.parametrize("racing", ["{}", "{delta: 0.1}", "{rungs: [0.5]}", "{rotate: 2}", "{screen: {}}"])
def test_a_file_with_races_is_told_in_one_sentence_what_replaced_them(tmp_path: Path, racing: str) -> None:
    told = refused_text(tmp_path, GOOD + f"racing: {racing}\n")
    line = GOOD.count("\n") + 1
    assert told.count("\n") == 0
    assert f"campaign.yaml:{line}: racing: expected the key schedule, found 'racing'; races, rungs and rotation" in told
    assert "write schedule: halving" in told


def test_a_file_that_an_older_version_wrote_out_is_read_where_nobody_raced() -> None:
    assert CampaignConfig.model_validate({**DATA, "racing": None}) == CampaignConfig.model_validate(DATA)


def test_a_resumed_campaign_keeps_its_schedule() -> None:
    halving = {"kind": "halving"}
    one, other = (
        CampaignConfig.model_validate({**DATA, "schedule": {**halving, "keep": keep}}) for keep in (0.5, 0.25)
    )
    assert as_diff(past_changing(one, other)) == "  schedule.keep  0.5 -> 0.25"


def test_a_campaign_on_real_models_halves_its_generations(evomerge, campaign_file, tmp_path: Path) -> None:
    path = campaign_file(budget={"evaluations": 14, "items": 16}, schedule={"kind": "halving", "first": 0.25})
    plan = evomerge("plan", path)
    assert plan.code == 0, plan.err
    assert "after 4, 8 of 16 items" in plan.out
    out = evomerge("run", path, "--run-dir", tmp_path / "run")
    assert out.code == 0, out.err
    archive = Archive.read(tmp_path / "run" / "archive.sqlite")
    told = [r.estimate for r in archive.records() if r.estimate is not None]
    assert {e.stopped.n_items for e in told if e.stopped is not None} == {4, 8}
    assert '"reason": "rung"' in evomerge("pareto", tmp_path / "run", "--json").out


@pytest.mark.parametrize("stop", ["0", "never", "true", ".inf"])
def test_a_search_stops_by_itself_at_a_gain_above_nothing_or_at_the_usual_one(tmp_path: Path, stop: str) -> None:
    text = GOOD.replace("evaluations: 400", f"evaluations: 400, stop: {stop}")
    assert "budget.stop: expected auto, or a number above 0, found " in refused_text(tmp_path, text)
    budgets = [{}, {"stop": "auto"}, {"stop": 0.5}, {"stop": 1}]
    gains = [CampaignConfig.model_validate({**DATA, "budget": budget}).budget.least_gain for budget in budgets]
    assert gains == [None, 0.002, 0.5, 1.0]


class Pooling(Random):
    """An optimiser that learns from item scores whichever items they are of."""

    kind: str = "pooling"  # type: ignore[assignment]
    pools_items: ClassVar[bool] = True  # type: ignore[misc]


def test_an_optimiser_that_pools_items_has_items_of_their_own_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    pooling = {**DATA, "optimiser": Pooling()}
    of_few = {**pooling, "budget": {"items": 6}}
    assert CampaignConfig.model_validate(of_few).schedule == OwnItemsConfig()
    assert "kind: own_items" in dump_campaign(CampaignConfig.model_validate(of_few))
    assert CampaignConfig.model_validate(pooling).schedule == AllItemsConfig()
    assert CampaignConfig.model_validate({**of_few, "schedule": "all_items"}).schedule == AllItemsConfig()
    assert CampaignConfig.model_validate({**of_few, "optimiser": "nsga2"}).schedule == AllItemsConfig()


def test_a_stage_has_the_schedule_that_suits_its_own_optimiser_or_that_it_says() -> None:
    stages = [
        {"name": "one", "space": "weights", "optimiser": Pooling()},
        {"name": "two", "space": "weights", "optimiser": Pooling(), "schedule": "all_items"},
        {"name": "three", "space": "weights", "optimiser": "random"},
        {"name": "four", "space": "weights", "optimiser": "random", "schedule": {"kind": "halving", "keep": 0.25}},
    ]
    config = CampaignConfig.model_validate({**DATA, "stages": stages, "budget": {"items": 6}})
    winners = {stage["name"]: f"hub/{stage['name']}" for stage in stages}
    found = [stage_config(config, i, winners).schedule for i in range(4)]
    assert found == [OwnItemsConfig(), AllItemsConfig(), AllItemsConfig(), HalvingConfig(keep=0.25)]


@pytest.mark.parametrize(
    "optimiser", ["m2n2", "nested_map", "greedy_soup", "direct", "nelder_mead", "cma_es, lq: true"]
)
def test_optimisers_that_compare_single_values_or_items_refuse_items_of_their_own(
    tmp_path: Path, optimiser: str
) -> None:
    space = GOOD[GOOD.index("space:") : GOOD.index("objectives:")]
    text = GOOD.replace(NSGA2, f"{{kind: {optimiser}}}").replace("evaluations: 400", "items: 6")
    text = text.replace(space, "") if optimiser == "m2n2" else text
    expected = f"schedule: expected all_items with optimiser {optimiser.partition(',')[0]}, found 'own_items'; "
    assert expected in refused_text(tmp_path, text + "schedule: own_items\n")


@pytest.mark.parametrize("optimiser", ["cma_es", "nsga2", "random", "map", "moead"])
def test_optimisers_that_take_noise_take_items_of_their_own(tmp_path: Path, optimiser: str) -> None:
    text = GOOD.replace(NSGA2, f"{{kind: {optimiser}}}").replace("evaluations: 400", "items: 6")
    (tmp_path / "campaign.yaml").write_text(text + "schedule: own_items\n")
    assert load_campaign(tmp_path / "campaign.yaml").schedule == OwnItemsConfig()
