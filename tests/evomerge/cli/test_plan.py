"""What `evomerge plan` foretells."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from evomerge.cli.commands import plan as plan_command
from search_spaces.merging.factors import full_bytes
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.recipes.recipe import ParentSource
from tests.conftest import Family
from tests.evomerge.conftest import Outcome

Command = Callable[..., Outcome]


def squeezed(text: str) -> str:
    """A table's text without its lines and its gaps, where long cells are one again."""
    return re.sub(r"[│\s]", "", text)


@pytest.mark.parametrize(("limit_gb", "kept_whole"), [("20", True), ("0.00001", False)])
def test_plan_says_what_the_decompositions_of_all_experts_take_and_where(
    limit_gb: str,
    *,
    kept_whole: bool,
    evomerge: Command,
    campaign_file: Callable[..., Path],
    family: Family,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(plan_command, "GIB", 2**10)  # the family's are too small to show in GiB
    monkeypatch.setenv("EVOMERGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EVOMERGE_CACHE_GB", limit_gb)
    path = campaign_file(space={"operator": ["iso_c", "ties"], "groups": {"layer_blocks": 1}})
    done = evomerge("plan", path)
    assert done.code == 0, done.err
    whole = sum(full_bytes(Checkpoint.open(ParentSource(str(expert)))) for expert in family.experts.values())
    limit = int(float(limit_gb) * 1e9)
    assert (whole < limit) == kept_whole
    expected = f"decompositions about {min(whole, limit) / 2**10:.2f} GiB in {tmp_path / 'cache' / 'factors'}"
    assert squeezed(expected) in squeezed(done.out)


def test_plan_is_silent_about_decompositions_where_no_operator_makes_any(
    evomerge: Command, campaign_file: Callable[..., Path]
) -> None:
    done = evomerge("plan", campaign_file())
    assert done.code == 0, done.err
    assert "one candidate" in done.out
    assert "decompositions" not in done.out


def test_plan_says_what_parents_read_and_what_that_takes_and_the_search_finds_it(
    evomerge: Command, campaign_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(plan_command, "GIB", 2**10)
    monkeypatch.setenv("EVOMERGE_CACHE", str(tmp_path / "cache"))
    objectives = [
        {"name": task, "tasks": [f"{task}.jsonl"], "expert": expert}
        for task, expert in (("sums", "alpha"), ("words", "beta"))
    ]
    space = {"operator": "regmean", "groups": {"layer_blocks": 1}}
    path = campaign_file(space=space, objectives=objectives, statistics={"prompts": 5})
    done = evomerge("plan", path)
    assert done.code == 0, done.err
    files = list((tmp_path / "cache" / "statistics").glob("*/gram.safetensors"))
    assert len(files) == 2
    size = sum(file.stat().st_size for file in files) / 2**10
    assert squeezed(f"{size:.2f} GiB in {tmp_path / 'cache' / 'statistics'}") in squeezed(done.out)
    assert squeezed("alpha reads 5 prompts of sums") in squeezed(done.out)
    assert squeezed("beta reads 5 prompts of words") in squeezed(done.out)
    again = evomerge("plan", path)
    assert squeezed("statistics collected before") in squeezed(again.out)


def test_plan_says_what_it_does_groups_genes_warns_of_few_evaluations_and_ends_with_the_command(
    evomerge: Command, campaign_file: Callable[..., Path]
) -> None:
    space = {"operator": "task_arithmetic", "groups": {"layer_blocks": 2}}
    path = campaign_file(space=space)
    done = evomerge("plan", path, "--set", "budget.evaluations=30")
    assert done.code == 0, done.err
    out = " ".join(done.out.split())
    for words in (
        "reading parents and tasks ...",
        "scoring candidate 1 of 3, with all preparation ...",
        "10 genes; --genes shows each",
        "│ 10 │ weight of each of 2 parents, in 5 groups of tensors │ 0 to 1.5 │",
        "30 evaluations for 10 genes are 3.0 for each, and 10 are advised",
        f"next: evomerge run {path} --set budget.evaluations=30",
    ):
        assert words in out
    assert "alpha" in evomerge("plan", path, "--genes").out.partition("10 genes")[2]
    assert "are advised" not in evomerge("plan", path, "--set", "budget.evaluations=100").out
