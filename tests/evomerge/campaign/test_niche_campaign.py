"""A campaign of M2N2 on real tiny models, from its file to its exported winner."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM

from evomerge.archive import Archive
from evomerge.config import CampaignConfig, ConfigError, load_campaign
from tests.evomerge.conftest import Outcome

NICHES: dict[str, Any] = {"optimiser": {"kind": "m2n2", "population": 4}, "budget": {"evaluations": 14}}


def config_of(campaign_file: Callable[..., Path], *without: str, **changes: object) -> CampaignConfig:
    path = campaign_file(**{"optimiser": {"kind": "m2n2"}, **changes})
    data = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({key: value for key, value in data.items() if key not in without}))
    return load_campaign(path)


def test_m2n2_and_niches_imply_each_other(campaign_file: Callable[..., Path]) -> None:
    assert config_of(campaign_file, "space").space.kind == "niches"
    assert config_of(campaign_file, "optimiser", space={"kind": "niches"}).optimiser.kind == "m2n2"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": {"kind": "weights"}}, "expected an optimiser for a space of kind weights, found 'm2n2'"),
        ({"space": {"kind": "niches"}, "optimiser": {"kind": "nsga2"}}, "for a space of kind niches, found 'nsga2'"),
        ({"space": {"kind": "niches", "operator": "ties"}}, "operator"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    campaign_file: Callable[..., Path], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of(campaign_file, **changes)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"alpha": -1}, "alpha: expected a number of at least 0, found -1"),
        ({"split": "word"}, "split: expected one of param, tensor, layer, none, found 'word'"),
        ({"attractoin": "none"}, "attractoin"),
        ({"gain": [3.0, 0.5]}, r"gain: expected [low, high]"),
        ({"kind": "niches", "mutation": 0.2}, "mutation: expected no such key in a space of kind niches, found 0.2"),
    ],
)
def test_a_wrong_option_shows_before_anything_is_loaded(
    campaign_file: Callable[..., Path], evomerge: Callable[..., Outcome], option: dict[str, object], message: str
) -> None:
    path = campaign_file(space={"kind": "niches"}, optimiser={"kind": "m2n2", **option})
    found = evomerge("run", path)
    assert (found.code, message in found.err) == (2, True)
    assert "reading parents" not in found.out


def test_a_campaign_of_niches_runs_and_its_winner_is_exported_as_it_was_scored(
    campaign_file: Callable[..., Path], evomerge: Callable[..., Outcome], tmp_path: Path
) -> None:
    path = campaign_file(space={"kind": "niches"}, **NICHES)
    found = evomerge("run", path, "--run-dir", tmp_path / "run")
    assert (found.code, found.err) == (0, "")
    archive = Archive.read(tmp_path / "run" / "archive.sqlite")
    candidates = [archive.candidate(number) for number in range(14)]
    labels = [candidate.label for candidate in candidates]
    assert labels[:5] == ["base", "alpha", "beta", "uniform mean", "default TIES"]
    pieces = [candidate.recipe.pieces for candidate in candidates[5:]]
    assert [p.coefficients for p in pieces[:2] if p] == [((1.0, 0.0),), ((0.0, 1.0),)]
    assert any(p is not None and len(p.coefficients) > 1 for p in pieces)
    # The parents are proposals too, and score what they scored as landmarks: they are the same bits.
    for landmark, seed in ((1, 5), (2, 6)):
        assert archive.scores(landmark, "search") == archive.scores(seed, "search")
    archive.close()
    child = 7 + next(i for i, p in enumerate(pieces[2:]) if p is not None and len(p.coefficients) > 1)
    out = tmp_path / "winner"
    assert evomerge("export", tmp_path / "run", "--pick", str(child), "--out", out).code == 0
    model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    card = (out / "README.md").read_text()
    assert "segments" in card
    assert json.loads((out / "recipe.json").read_text())["pieces"]["parents"] == ["alpha", "beta"]
    assert evomerge("report", tmp_path / "run").code == 0
    assert evomerge("merge", out / "recipe.json", tmp_path / "again").code == 0
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()


def test_plan_tells_of_a_campaign_of_niches(
    campaign_file: Callable[..., Path], evomerge: Callable[..., Outcome]
) -> None:
    found = evomerge("plan", campaign_file(space={"kind": "niches"}, **NICHES))
    assert found.code == 0


def test_with_a_gain_landmarks_are_the_first_members_and_a_resumed_search_is_the_same(
    campaign_file: Callable[..., Path], evomerge: Callable[..., Outcome], tmp_path: Path
) -> None:
    optimiser = {"kind": "m2n2", "population": 6, "gain": [0.5, 3.0]}
    path = campaign_file(space={"kind": "niches"}, optimiser=optimiser, budget={"evaluations": 16})
    for evaluations in (11, 16):  # a search that stops and goes on
        run = tmp_path / "run"
        assert evomerge("run", path, "--run-dir", run, "--evaluations", evaluations).code == 0
    assert evomerge("run", path, "--run-dir", tmp_path / "at once").code == 0
    archives = [Archive.read(directory / "archive.sqlite") for directory in (run, tmp_path / "at once")]
    digests = [[one.candidate(number).recipe.digest for number in range(16)] for one in archives]
    assert digests[0] == digests[1]
    proposed = [archives[0].candidate(number) for number in range(16) if archives[0].candidate(number).label is None]
    pieces = [candidate.recipe.pieces for candidate in proposed]
    assert all(p is not None and p.parents == ("base", "alpha", "beta") for p in pieces)
    # Parents alone were landmarks: what comes first is their uniform mean at other gains.
    assert [len(set(p.coefficients[0][1:])) for p in pieces[:4] if p is not None] == [1, 1, 1, 1]
    for archive in archives:
        archive.close()


@pytest.mark.parametrize(
    "space",
    [
        {"kind": "weights", "operator": ["task_arithmetic", "ties"], "operator_per": "group", "layer_blocks": 1},
        {"kind": "joint", "merge": {"layer_blocks": 1}, "flow": {"max_depth": 3}},
        {"kind": "niches"},
    ],
    ids=lambda space: str(space["kind"]),
)
def test_niches_search_every_space(
    campaign_file: Callable[..., Path], evomerge: Callable[..., Outcome], tmp_path: Path, space: dict[str, Any]
) -> None:
    path = campaign_file(space=space, optimiser={"kind": "niches", "population": 4}, budget={"evaluations": 16})
    found = evomerge("run", path, "--run-dir", tmp_path / "run")
    assert (found.code, found.err) == (0, "")
    archive = Archive.read(tmp_path / "run" / "archive.sqlite")
    digests = [candidate.recipe.digest for candidate in map(archive.candidate, range(16)) if candidate.label is None]
    archive.close()
    assert len(digests) >= 6
    assert len(set(digests)) > len(digests) // 2


def test_a_winner_of_cycle_qd_is_made_again_from_its_recipe_bit_for_bit(
    campaign_file: Callable[..., Path], evomerge: Callable[..., Outcome], tmp_path: Path
) -> None:
    path = campaign_file(space={"kind": "niches"}, optimiser={"kind": "cycle_qd"}, budget={"evaluations": 14})
    found = evomerge("run", path, "--run-dir", tmp_path / "run")
    assert (found.code, found.err) == (0, "")
    archive = Archive.read(tmp_path / "run" / "archive.sqlite")
    (rule,) = archive.candidate(13).recipe.rules
    assert any(given.parameters.get("draw") for given in rule.inputs)
    # The parents are proposals too, and score what they scored as landmarks.
    assert archive.scores(1, "search") == archive.scores(5, "search")
    archive.close()
    out = tmp_path / "winner"
    assert evomerge("export", tmp_path / "run", "--pick", "13", "--out", out).code == 0
    assert evomerge("merge", out / "recipe.json", tmp_path / "again").code == 0
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()
