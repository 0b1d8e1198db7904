from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from search_spaces.checks.preflight import Preflight, PreflightRow, preflight
from search_spaces.errors import SpaceError
from search_spaces.parents.parents import Parents
from tests.conftest import Family, make_family
from tests.search_spaces.merging.recipes import altered, opened, without

EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
NORM = "model.norm.weight"


def row(found: Preflight, name: str) -> PreflightRow:
    return next(row for row in found.rows if row.property == name)


def against_base(family: Family, other: Path, **options: bool) -> Preflight:
    return preflight(opened({"base": family.base, "other": other}), "base", **options)


def edit_json(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_a_family_passes_with_every_property_ok(parents: Parents) -> None:
    found = preflight(parents, "base")
    assert {r.level for r in found.rows} == {"ok"}
    assert all(r.note == "" for r in found.rows)
    assert all(set(r.values) == {"base", "alpha", "beta"} for r in found.rows)
    assert row(found, "vocabulary").values["alpha"] == "49 tokens"
    found.raise_for_errors()


def test_the_base_comes_first_in_the_table(parents: Parents) -> None:
    assert next(iter(preflight(parents, "beta", read_weights=False).rows[0].values)) == "beta"


def test_all_errors_are_raised_at_once(family: Family, set_config: Callable[..., Path]) -> None:
    found = against_base(family, set_config(model_type="mistral", rms_norm_eps=0.1))
    with pytest.raises(SpaceError) as raised:
        found.raise_for_errors()
    assert str(raised.value).splitlines()[1:] == [
        "model_type: expected llama as in 'base', found mistral in 'other'; only models of one architecture merge",
        "rms_norm_eps: expected 1e-06 as in 'base', found 0.1 in 'other'; the same weights compute something else",
        "to merge them as they are: allow_differences: [model_type, rms_norm_eps]",
    ]


def test_what_cannot_be_allowed_is_not_said_to_be(family: Family, tmp_path: Path) -> None:
    deeper = make_family(tmp_path, (), layers=3).base
    said = json.loads((deeper / "config.json").read_text())
    (deeper / "config.json").write_text(json.dumps(said | {"rms_norm_eps": 0.1}))
    with pytest.raises(SpaceError, match="rms_norm_eps: expected") as raised:
        against_base(family, deeper).raise_for_errors()
    assert "allow_differences" not in str(raised.value)


def test_another_depth_is_an_error(family: Family, tmp_path: Path) -> None:
    deeper = make_family(tmp_path, (), layers=3)
    found = against_base(family, deeper.base)
    assert row(found, "layers").level == "error"
    assert "expected 2 as in 'base', found 3 in 'other'" in row(found, "layers").note


def test_another_width_is_an_error_that_names_a_tensor_and_both_shapes(family: Family, tmp_path: Path) -> None:
    found = row(against_base(family, make_family(tmp_path, (), hidden=16).base), "shapes")
    assert found.level == "error"
    assert f"expected (49, 32) for {EMBEDDING}, found (49, 16)" in found.note


def test_another_vocabulary_size_is_an_error_that_says_so(family: Family, tmp_path: Path) -> None:
    crop = altered(family.base, tmp_path / "c", lambda t: t.update({EMBEDDING: t[EMBEDDING][:40].clone()}))
    found = row(against_base(family, crop), "shapes")
    assert found.level == "error"
    assert "the vocabulary has another size" in found.note


def test_a_missing_tensor_is_an_error_and_one_too_many_a_warning(family: Family, tmp_path: Path) -> None:
    fewer = row(against_base(family, altered(family.base, tmp_path / "f", without(NORM))), "tensors")
    assert (fewer.level, fewer.note) == ("error", f"'other' lacks 1 tensors of 'base', among them {NORM}")
    add = altered(family.base, tmp_path / "m", lambda t: t.update({"extra.weight": torch.zeros(1)}))
    more = row(against_base(family, add), "tensors")
    assert (more.level, more.note) == (
        "warning",
        "'other' has 1 tensors that the merge leaves out, among them extra.weight",
    )


def test_tokens_with_other_ids_are_an_error_that_shows_one(family: Family, damaged: Path) -> None:
    def swap(tokenizer: dict[str, Any]) -> None:
        ids = tokenizer["model"]["vocab"]
        ids["a"], ids["b"] = ids["b"], ids["a"]

    edit_json(damaged / "tokenizer.json", swap)
    found = row(against_base(family, damaged), "vocabulary")
    assert found.level == "error"
    assert found.note == "'other': 2 tokens differ: expected 'b' at id 5 as in 'base', found 'a'"


@pytest.mark.parametrize(("base_gets_it", "message"), [(False, "has 1 tokens more than"), (True, "lacks 1 tokens of")])
def test_a_token_that_only_one_has_is_a_warning(
    family: Family, damaged: Path, base_gets_it: bool, message: str
) -> None:
    added = {"id": 49, "content": "<new>", "special": True}
    edit_json(damaged / "tokenizer.json", lambda tokenizer: tokenizer["added_tokens"].append(added))
    directories = {"base": family.base, "other": damaged}
    if base_gets_it:
        directories = {"base": damaged, "other": family.base}
    found = row(preflight(opened(directories), "base"), "vocabulary")
    assert found.level == "warning"
    assert message in found.note
    assert "'<new>'" in found.note


def test_a_parent_without_tokenizer_is_a_warning(family: Family, damaged: Path) -> None:
    (damaged / "tokenizer.json").unlink()
    found = row(against_base(family, damaged), "vocabulary")
    assert (found.level, found.values["other"]) == ("warning", "none")


def test_vocabularies_in_the_older_file_format_are_compared_too(family: Family, damaged: Path) -> None:
    ids = json.loads((damaged / "tokenizer.json").read_text())["model"]["vocab"]
    (damaged / "tokenizer.json").unlink()
    (damaged / "vocab.json").write_text(json.dumps(ids))
    assert row(against_base(family, damaged), "vocabulary").level == "ok"
    (damaged / "vocab.json").write_text(json.dumps({**ids, "a": ids["b"], "b": ids["a"]}))
    assert row(against_base(family, damaged), "vocabulary").level == "error"


def test_another_way_to_split_text_is_a_warning(family: Family, damaged: Path) -> None:
    edit_json(damaged / "tokenizer.json", lambda tokenizer: tokenizer.update(normalizer={"type": "Lowercase"}))
    assert row(against_base(family, damaged), "tokenizer rules").level == "warning"


def test_other_special_tokens_and_chat_templates_are_warnings(family: Family, damaged: Path) -> None:
    edit_json(damaged / "tokenizer_config.json", lambda c: c.update(eos_token={"content": "<pad>"}))
    (damaged / "chat_template.jinja").write_text("{{ messages }}")
    found = against_base(family, damaged)
    assert row(found, "special tokens").level == "warning"
    assert "eos <pad> 2" in row(found, "special tokens").values["other"]
    assert row(found, "chat template").level == "warning"
    assert "the merge takes the base's" in row(found, "chat template").note
    found.raise_for_errors()


def test_another_dtype_is_a_warning(family: Family, tmp_path: Path) -> None:
    halve = altered(family.base, tmp_path / "h", lambda t: t.update({k: v.bfloat16() for k, v in t.items()}))
    found = row(against_base(family, halve), "dtype")
    assert (found.level, found.values["other"]) == ("warning", "bfloat16")


def test_a_head_that_repeats_the_embedding_is_a_warning(family: Family, tmp_path: Path) -> None:
    repeat = altered(family.base, tmp_path / "r", lambda t: t.update({HEAD: t[EMBEDDING].clone()}))
    found = against_base(family, repeat)
    assert row(found, "output head").level == "warning"
    found.raise_for_errors()


def test_a_tied_parent_of_an_untied_base_is_a_warning(family: Family, untied: Family) -> None:
    found = preflight(opened({"base": untied.base, "other": family.base}), "base")
    assert row(found, "output head").level == "warning"
    found.raise_for_errors()


def test_a_head_of_its_own_in_one_parent_is_a_warning(family: Family, untied: Family) -> None:
    found = row(against_base(family, untied.base), "output head")
    assert found.level == "warning"
    assert "the output has a head of its own; where it is tied, the embedding is merged as the head" in found.note


def test_a_head_that_config_promises_but_no_file_holds_is_an_error(
    family: Family, set_config: Callable[..., Path]
) -> None:
    found = row(against_base(family, set_config(tie_word_embeddings=False)), "output head")
    assert found.level == "error"
    assert "there is no head among its tensors" in found.note


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_an_error_that_names_parent_and_tensor(
    family: Family, tmp_path: Path, value: float
) -> None:
    bad = altered(family.base, tmp_path / "bad", lambda t: t[NORM].fill_(value))
    assert against_base(family, bad, read_weights=False).errors == []
    found = against_base(family, bad)
    assert [r.note for r in found.errors] == [f"parent 'other' has NaN or infinity in {NORM}"]


def test_a_broken_tokenizer_file_is_named(family: Family, damaged: Path) -> None:
    (damaged / "tokenizer.json").write_text("{")
    with pytest.raises(SpaceError, match=r"tokenizer\.json: expected a JSON object"):
        against_base(family, damaged)


def test_layers_of_parents_of_other_depths_may_follow_each_other(family: Family, tmp_path: Path) -> None:
    deeper = make_family(tmp_path, (), layers=3)
    found = against_base(family, deeper.base, stacked=True)
    assert found.errors == []
    assert row(found, "layers").values == {"base": "2", "other": "3"}


def test_layers_of_another_width_cannot_follow(family: Family, tmp_path: Path) -> None:
    wider = make_family(tmp_path, (), hidden=64)
    found = against_base(family, wider.base, stacked=True)
    assert {r.property for r in found.errors} == {"hidden_size", "head_dim", "shapes"}
    assert (
        "expected (32,) for model.layers.0.input_layernorm.weight as in 'base', found (64,)"
        in row(found, "shapes").note
    )


def test_layers_with_other_tensors_cannot_follow(family: Family, tmp_path: Path) -> None:
    biased = make_family(tmp_path, (), attention_bias=True)
    found = against_base(family, biased.base, stacked=True)
    assert (
        "have layers of different tensors, among them model.layers.0.self_attn.k_proj.bias" in row(found, "shapes").note
    )


def test_of_stacked_models_only_the_width_of_the_embedding_counts(family: Family, tmp_path: Path) -> None:
    larger = make_family(tmp_path, (), layers=3)
    more_rows = altered(
        larger.base, tmp_path / "more", lambda tensors: tensors.update({EMBEDDING: torch.zeros(60, 32)})
    )
    found = against_base(family, more_rows, stacked=True)
    assert row(found, "shapes").level == "ok"
