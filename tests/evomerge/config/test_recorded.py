"""A recorded campaign of another version: unknown keys are named, the rest of it is read."""

from __future__ import annotations

import pytest

from evomerge.config import CampaignConfig, ConfigError, dump_campaign
from evomerge.config.recorded import read_recorded
from evomerge.config.yaml_document import parse_yaml, write_yaml


@pytest.fixture(scope="module")
def config() -> CampaignConfig:
    objectives = [{"name": "words", "tasks": ["/tasks/words.jsonl"]}]
    return CampaignConfig.model_validate(
        {"base": "/base", "parents": ["/a", "/b"], "objectives": objectives, "optimiser": {"kind": "random"}}
    )


def changed(config: CampaignConfig, way: list[str | int], value: object) -> str:
    data = parse_yaml(dump_campaign(config)).data
    at = data
    for part in way[:-1]:
        at = at[part]  # type: ignore[index]
    at[way[-1]] = value  # type: ignore[index]
    return write_yaml(data)


def test_what_was_dumped_is_read_back(config: CampaignConfig) -> None:
    found = read_recorded(dump_campaign(config))
    assert (found.config, found.unknown) == (config, ())


@pytest.mark.parametrize(
    ("way", "key"),
    [
        (["added_later"], "added_later"),
        (["budget", "added_later"], "budget.added_later"),
        (["space", "added_later"], "space.added_later"),
        (["optimiser", "added_later"], "optimiser.added_later"),
        (["schedule", "added_later"], "schedule.added_later"),
        (["parents", 1, "added_later"], "parents[1].added_later"),
        (["objectives", 0, "added_later"], "objectives[0].added_later"),
    ],
)
def test_a_key_of_another_version_is_named_and_left_out(config: CampaignConfig, way: list[str | int], key: str) -> None:
    for value in (1, [1, 2], {"a": {"b": None}}):
        found = read_recorded(changed(config, way, value))
        assert (found.config, found.unknown) == (config, (key,))


def test_several_of_them_are_all_named(config: CampaignConfig) -> None:
    text = changed(config, ["one"], 1) + "two: 2\n"
    assert read_recorded(text).unknown == ("one", "two")


@pytest.mark.parametrize(
    ("way", "value", "named"),
    [
        (["optimiser"], {"kind": "of_tomorrow"}, "optimiser.kind"),
        (["budget", "evaluations"], "many", "budget.evaluations"),
        (["parents"], [], "parents"),
    ],
)
def test_a_value_of_another_version_is_refused_with_its_key(
    config: CampaignConfig, way: list[str | int], value: object, named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        read_recorded(changed(config, way, value))


@pytest.mark.parametrize("text", ["", "[1]", "[", "7", "a: &x [*x]"])
def test_what_is_no_campaign_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        read_recorded(text)
