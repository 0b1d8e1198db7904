"""The section `racing` of a campaign file."""

from __future__ import annotations

from pathlib import Path

import pytest

from evomerge.archive import Archive
from evomerge.config import CampaignConfig, load_campaign
from evomerge.config.changes import past_changing
from evomerge.config.racing import RacingConfig
from tests.evomerge.test_config_errors import GOOD, refused_text

DATA = {"base": "hub/base", "parents": ["hub/a", "hub/b"], "objectives": [{"name": "x", "tasks": ["t"]}]}


def test_nobody_races_unless_the_file_says_so() -> None:
    assert CampaignConfig.model_validate(DATA).racing is None
    assert CampaignConfig.model_validate({**DATA, "racing": {}}).racing == RacingConfig(delta=0.05, first_look=None)


@pytest.mark.parametrize(
    ("racing", "message"),
    [
        ("{delta: 0}", "racing.delta: expected a number above 0, found 0"),
        ("{delta: 1}", "racing.delta: expected a number below 1, found 1"),
        ("{first_look: 0}", "racing.first_look: expected a number of at least 1, found 0"),
        ("{rungs: [0.5, 0.25]}", "racing.rungs: expected ascending shares, found [0.5, 0.25]"),
        ("{rungs: [1.0]}", "racing.rungs[0]: expected a number below 1, found 1.0"),
        ("{keep: 0}", "racing.keep: expected a number above 0, found 0"),
        ("{blocks: 4}", "racing.blocks: expected one of "),
    ],
)
def test_wrong_values_are_refused(tmp_path: Path, racing: str, message: str) -> None:
    assert message in refused_text(tmp_path, GOOD + f"racing: {racing}\n")


@pytest.mark.parametrize("kind", ["map", "greedy_soup", "direct"])
def test_optimisers_that_need_every_answer_do_without(tmp_path: Path, kind: str) -> None:
    text = GOOD.replace("{kind: nsga2, population: 24}", f"{{kind: {kind}}}") + "racing: {}\n"
    assert f"racing: expected no such section with optimiser {kind}, found " in refused_text(tmp_path, text)


@pytest.mark.parametrize("optimiser", ["{kind: random}", "{kind: moead}", "{kind: cma_es, lq: true}"])
def test_rungs_need_generations(tmp_path: Path, optimiser: str) -> None:
    text = GOOD.replace("{kind: nsga2, population: 24}", optimiser)
    assert "racing.rungs: expected no rungs with optimiser " in refused_text(
        tmp_path, text + "racing: {rungs: [0.5]}\n"
    )
    (tmp_path / "campaign.yaml").write_text(text + "racing: {}\n")
    load_campaign(tmp_path / "campaign.yaml")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("kind: nsga2", "kind: structured"), "no rotation with optimiser structured, found 3; it remembers scores"),
        (("evaluations: 400, items: 50", "evaluations: 400"), "budget.items beside rotate, found 3"),
        (("tasks: [gsm8k]", "tasks: [gsm8k], at_least: base"), "no rotation with at_least of a checkpoint, found 3"),
    ],
)
def test_items_change_where_nobody_is_compared_with_old_ones(
    tmp_path: Path, change: tuple[str, str], expected: str
) -> None:
    good = GOOD.replace("{evaluations: 400}", "{evaluations: 400, items: 50}") + "racing: {rotate: 3}\n"
    (tmp_path / "campaign.yaml").write_text(good)
    load_campaign(tmp_path / "campaign.yaml")
    assert f"racing.rotate: expected {expected}" in refused_text(tmp_path, good.replace(*change))


def test_a_resumed_campaign_keeps_its_races() -> None:
    one, other = (CampaignConfig.model_validate({**DATA, "racing": {"delta": d}}) for d in (0.05, 0.1))
    assert [str(change) for change in past_changing(one, other)] == ["racing.delta: 0.05 -> 0.1"]


def test_a_campaign_on_real_models_stops_candidates_early(evomerge, campaign_file, tmp_path: Path) -> None:
    racing = {"delta": 0.5, "first_look": 4, "rungs": [0.5], "rotate": 1}
    path = campaign_file(budget={"evaluations": 14, "items": 16}, racing=racing)
    plan = evomerge("plan", path)
    assert plan.code == 0, plan.err
    assert "a look after 4, 8 of 16 items" in plan.out
    out = evomerge("run", path, "--run-dir", tmp_path / "run")
    assert out.code == 0, out.err
    archive = Archive.read(tmp_path / "run" / "archive.sqlite")
    told = [r.estimate for r in archive.records() if r.estimate is not None]
    stopped = [e.stopped for e in told if e.stopped is not None]
    assert f"racing: {len(stopped)} of 14 candidates were stopped early" in out.out
    assert stopped
    shown = evomerge("pareto", tmp_path / "run", "--json")
    assert '"reason": ' in shown.out


def test_no_rotation_where_there_are_no_other_items(evomerge, campaign_file, tmp_path: Path) -> None:
    path = campaign_file(budget={"evaluations": 7, "items": 40}, racing={"rotate": 1})
    out = evomerge("run", path, "--run-dir", tmp_path / "run")
    assert out.code == 1
    assert "racing.rotate: expected budget.items below the 40 search items, found 40" in out.err


@pytest.mark.parametrize(
    ("screen", "message"),
    [
        ("{keep: 0}", "racing.screen.keep: expected a number above 0, found 0"),
        ("{prompts: 0}", "racing.screen.prompts: expected a number of at least 1, found 0"),
        ("{prompt: 8}", "racing.screen.prompt: expected one of "),
    ],
)
def test_a_wrong_screen_is_refused(tmp_path: Path, screen: str, message: str) -> None:
    assert message in refused_text(tmp_path, GOOD + f"racing: {{screen: {screen}}}\n")


@pytest.mark.parametrize("optimiser", ["{kind: random}", "{kind: moead}", "{kind: cma_es, lq: true}"])
def test_a_screen_needs_generations(tmp_path: Path, optimiser: str) -> None:
    text = GOOD.replace("{kind: nsga2, population: 24}", optimiser)
    refused = refused_text(tmp_path, text + "racing: {screen: {}}\n")
    assert "racing.screen: expected no screen with optimiser " in refused
