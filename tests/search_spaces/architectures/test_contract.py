"""What holds for every architecture: merges are what plain torch makes of the live models, and transformers loads them.

One set of tiny models per architecture. A few of them run with `make test`, all of them with `make test-slow`.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from search_spaces.checks.preflight import preflight
from search_spaces.errors import SpaceError
from search_spaces.output.export import export
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import OutputTokenizer, ParentSource
from search_spaces.recipes.rule import Where
from tests.search_spaces.architectures.families import FAMILIES, QUICK
from tests.search_spaces.architectures.former import save_as_version_4
from tests.search_spaces.architectures.models import (
    IDS,
    Family,
    assert_same,
    between,
    build,
    embedding_of,
    load,
    outputs,
)
from tests.search_spaces.architectures.surgery import stacked
from tests.search_spaces.architectures.tiny import TOKENS
from tests.search_spaces.architectures.vocabularies import ADDED, MOVED, renumbered, save_tokens
from tests.search_spaces.merging.recipes import copy_of, merge, recipe, sources

pytestmark = pytest.mark.filterwarnings("ignore")  # transformers' and peft's own
PATH = (("base", 0), ("base", 1), ("base", 2), ("other", 1), ("other", 2), ("other", 3))


@dataclass(frozen=True)
class Models:
    """Two models of a family, alive and saved."""

    family: Family
    root: Path
    live: dict[str, Any]

    @property
    def parents(self) -> Parents:
        return opened({name: self.root / name for name in self.live})


def opened(directories: dict[str, Path]) -> Parents:
    return Parents.open(sources(directories), base="base")


def _parameters() -> Iterator[Any]:
    for family in FAMILIES:
        marks = [pytest.mark.xdist_group(f"architectures-{family.kind}")]
        marks += [] if family.kind in QUICK else [pytest.mark.slow]
        yield pytest.param(family, id=family.kind, marks=marks)


@pytest.fixture(scope="module", params=_parameters())
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Models:
    family: Family = request.param
    root = tmp_path_factory.mktemp(family.kind)
    for seed, name in enumerate(("base", "other")):
        build(family, seed).save_pretrained(root / name)
    # What a file does not hold is as transformers makes it.
    return Models(family, root, {name: load(root / name) for name in ("base", "other")})


def names_in(directory: Path) -> set[str]:
    return {name for path in directory.glob("*.safetensors") for name in safe_open(path, "pt").keys()}  # noqa: SIM118


def test_stacks_embedding_and_head_are_those_of_the_live_model(models: Models) -> None:
    checkpoint = models.parents["base"]
    found, live = checkpoint.architecture, models.live["base"]
    assert not found.guessed
    assert not found.unused
    assert list(found.depths.items()) == list(models.family.stacks.items())
    embedding, head = embedding_of(live), live.get_output_embeddings()
    assert (found.embedding is None) == (embedding is None)
    if found.embedding is not None:
        assert checkpoint.tensor(found.embedding).equal(live.get_input_embeddings().weight)
    assert found.has_head == (head is not None)
    if found.head is not None:
        assert checkpoint.tensor(found.head).equal(head.weight)


def test_a_linear_merge_is_that_of_plain_torch(models: Models) -> None:
    parents = models.parents
    preflight(parents, "base").raise_for_errors()
    out = export(merge(parents, base=0.3, other=0.7), parents, models.root / "linear")
    assert_same(load(out), between(models.live["base"], models.live["other"], 0.7))
    assert names_in(out) == names_in(models.root / "base")


def test_stacked_layers_are_those_of_live_surgery_or_refused(models: Models) -> None:
    parents, out = models.parents, models.root / "stacked"
    rules = [copy_of(name, Where(layers=(k, k + 1))) for k, (name, _) in enumerate(PATH)]
    layers = tuple({name: layer} for name, layer in PATH)
    made = recipe(parents, *rules, copy_of("base"), layers=layers)
    if models.family.no_slices:
        with pytest.raises(SpaceError, match=re.escape(models.family.no_slices)):
            export(made, parents, out)
        return
    preflight(parents, "base", stacked=True).raise_for_errors()
    assert_same(load(export(made, parents, out)), stacked(models.live, "base", PATH))


def test_a_model_with_other_token_numbers_is_itself_in_a_union(models: Models) -> None:
    base, other = models.live["base"], renumbered(models.live["other"]) if embedding_of(models.live["base"]) else None
    if other is None:
        pytest.skip("it has no token embedding")
    other.save_pretrained(models.root / "renumbered")
    save_tokens(models.root / "base", dict(zip(range(TOKENS), range(TOKENS), strict=True)))
    save_tokens(models.root / "renumbered", MOVED, ADDED)
    tokenizer = OutputTokenizer("union")
    opened_for = sources({"base": models.root / "base", "other": models.root / "renumbered"})
    parents = Parents.open(opened_for, base="base", tokenizer=tokenizer)
    preflight(parents, "base").raise_for_errors()
    moved = torch.tensor([MOVED[token] for token in range(TOKENS)])
    for name, model, numbers in (("base", base, torch.arange(TOKENS)), ("other", other, moved)):
        r = recipe(parents, copy_of(name), tokenizer=tokenizer)
        made = load(export(r, parents, models.root / f"union-{name}"))
        for ours, theirs in zip(outputs(made), outputs(model, numbers[IDS]), strict=True):
            over_tokens = ours.shape[-1] == TOKENS + ADDED
            a, b = (ours[..., :TOKENS], theirs[..., numbers]) if over_tokens else (ours, theirs)
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_an_adapter_is_what_peft_makes_of_it(models: Models) -> None:
    import peft

    torch.manual_seed(7)
    others = list(models.family.not_adapted) or None
    config = peft.LoraConfig(r=2, target_modules="all-linear", exclude_modules=others, init_lora_weights=False)
    adapted = peft.get_peft_model(copy.deepcopy(models.live["base"]), config)
    adapted.save_pretrained(models.root / "adapter", save_embedding_layers=False)
    plain = ParentSource(str(models.root / "base"))
    parents = Parents.open({"base": plain, "other": ParentSource(plain.model, adapter=str(models.root / "adapter"))})
    out = export(recipe(parents, copy_of("other")), parents, models.root / "adapted")
    assert_same(load(out), adapted.merge_and_unload())


@pytest.mark.parametrize("former", ["base", "other"])
def test_a_model_saved_in_the_form_of_version_4_is_the_same_model(models: Models, former: str) -> None:
    directories = {name: models.root / name for name in models.live}
    directories[former] = save_as_version_4(models.live[former], models.root / f"former-{former}")
    parents = opened(directories)
    preflight(parents, "base").raise_for_errors()
    out = export(merge(parents, base=0.3, other=0.7), parents, models.root / f"with-former-{former}")
    assert_same(load(out), between(models.live["base"], models.live["other"], 0.7))
    assert names_in(out) == names_in(directories["base"])


def test_the_config_is_the_bases_but_for_what_changed(models: Models) -> None:
    parents = models.parents
    out = export(merge(parents, base=1.0), parents, models.root / "copy")
    ours, theirs = (json.loads((d / "config.json").read_text()) for d in (out, models.root / "base"))
    assert ours == {**theirs, **{key: ours[key] for key in ("dtype", "tie_word_embeddings") if key in ours}}
