from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file
from torch import Tensor

import evomerge as em
from evomerge.assembly.prompt_bits import PromptBits
from search_spaces.errors import SpaceError
from tests.conftest import Family
from tests.evomerge.conftest import Outcome
from tests.search_spaces.checks.kinship.relatives import fine_tuned, lock_values, make_base
from tests.search_spaces.merging.recipes import altered

Campaign = Callable[..., Path]


@pytest.fixture(scope="module")
def relatives(tmp_path_factory: pytest.TempPathFactory) -> Family:
    root = tmp_path_factory.mktemp("relatives")
    base = make_base(root / "base", layers=2)
    experts = {name: fine_tuned(base, root / name, seed=seed) for seed, name in enumerate(("one", "two"), start=1)}
    return Family(base, experts)


def campaign_of(campaign_file: Campaign, family: Family, *more: Path) -> Path:
    path = campaign_file(budget={"evaluations": 6})
    data = yaml.safe_load(path.read_text())
    data |= {"base": str(family.base), "parents": [str(p) for p in (*family.experts.values(), *more)]}
    path.write_text(yaml.safe_dump(data))
    return path


def loud(tensors: dict[str, Tensor]) -> None:
    """Weights of a training that has diverged: all answers are sure, and wrong."""
    for name, weight in tensors.items():
        if "embed" in name or "norm" in name:
            tensors[name] = weight * 8.0


def test_plan_tells_parents_of_no_use_in_one_table(
    evomerge: Callable[..., Outcome], campaign_file: Campaign, relatives: Family, tmp_path: Path
) -> None:
    broken = altered(relatives.experts["two"], tmp_path / "broken", loud)
    path = campaign_of(campaign_file, relatives, broken)
    done = evomerge("plan", path)
    assert done.code == 0, done.err
    table = done.out[done.out.index("Parents") : done.out.index("Cost")]
    assert "the base" in table
    assert "'broken' has collapsed" in " ".join(table.replace("│", " ").split())
    (plan,) = em.plan(path)
    assert {each.name: each.verdict for each in plan.parents} == {
        "one": "related",
        "two": "related",
        "broken": "collapsed",
    }
    assert plan.prompts is not None
    assert plan.prompts.mean("broken") > 1.5 * plan.prompts.mean("base")


def test_bits_per_byte_are_those_of_plain_transformers(campaign_file: Campaign, relatives: Family) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    (plan,) = em.plan(campaign_of(campaign_file, relatives))
    assert plan.prompts is not None
    tokenizer = AutoTokenizer.from_pretrained(relatives.base)
    model = AutoModelForCausalLM.from_pretrained(relatives.base)
    ids = torch.tensor([tokenizer("sums 10:").input_ids])
    with torch.no_grad():
        nats = float(torch.nn.functional.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:]))
    # The tokens are single bytes, and a random model is about as unsure of any prompt as of this one.
    assert plan.prompts.mean("base") == pytest.approx(nats / 0.6931, rel=0.15)


def test_an_expert_is_judged_by_the_task_that_it_is_best_at() -> None:
    bits = {"base": {"a": 2.0, "b": 2.0}, "expert": {"a": 1.0, "b": 9.0}, "lost": {"a": 3.5, "b": 9.0}}
    found = PromptBits(bits, "base")
    assert not found.collapsed("expert")
    assert found.collapsed("lost").startswith("'lost' has collapsed: 6.25 bits per byte of the prompts, where 'base'")
    assert not PromptBits(bits, None).collapsed("expert")


def test_a_search_does_not_begin_with_a_locked_parent_unless_it_is_allowed(
    evomerge: Callable[..., Outcome], campaign_file: Campaign, relatives: Family, tmp_path: Path
) -> None:
    locked = altered(relatives.experts["two"], tmp_path / "locked", lock_values)
    path = campaign_of(campaign_file, relatives, locked)
    refused = evomerge("run", path, "--run-dir", tmp_path / "run")
    assert refused.code != 0
    assert "its author does not want it merged" in refused.err
    assert "allow_differences: [locked]" in refused.err
    with pytest.raises(SpaceError, match="'locked' is locked: v and o"):
        em.plan(path)
    done = evomerge("run", path, "--run-dir", tmp_path / "run", "--allow-differences", "locked")
    assert done.code == 0, done.err
    assert "'locked' is locked" in done.out + done.err


def test_a_search_says_which_parents_are_of_no_use(
    evomerge: Callable[..., Outcome], campaign_file: Campaign, relatives: Family, tmp_path: Path
) -> None:
    start = load_file(relatives.base / "model.safetensors")
    again = altered(
        relatives.experts["one"],
        tmp_path / "again",
        lambda tensors: tensors.update({n: start[n] + 0.5 * (w - start[n]) for n, w in tensors.items()}),
    )
    done = evomerge("run", campaign_of(campaign_file, relatives, again), "--run-dir", tmp_path / "run")
    assert done.code == 0, done.err
    assert "'again' and 'one' have one task vector (cosine 1.000, 0.50 times as long)" in done.out + done.err
