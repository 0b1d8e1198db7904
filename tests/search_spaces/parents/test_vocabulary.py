from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from search_spaces.checks.preflight import preflight
from search_spaces.errors import SpaceError
from search_spaces.layers.architecture import build_module
from search_spaces.live.resident import ResidentModel
from search_spaces.merging.materialise import merged_tensor
from search_spaces.output.export import export
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import OutputTokenizer
from search_spaces.recipes.rule import Input, Rule
from tests.conftest import CHARACTERS, Family
from tests.search_spaces.merging.recipes import recipe, sources

EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
PLAIN = ["<pad>", "<s>", "</s>", "<unk>", *CHARACTERS, "\n"]  # as conftest's tokenizer has them, 49
SHUFFLED = [*PLAIN[:4], *reversed(PLAIN[4:])]


def with_tokens(source: Path, target: Path, tokens: Sequence[str], *, padding: int = 0) -> Path:
    """Copy a checkpoint with other tokens: every token keeps its row, new ones get rows of their own."""
    shutil.copytree(source, target)
    tensors = load_file(source / "model.safetensors")
    generator = torch.Generator().manual_seed(len(tokens))
    for name in (EMBEDDING, HEAD):
        if name in tensors:
            old = dict(zip(PLAIN, tensors[name], strict=True))
            new = torch.randn(len(tokens) + padding, 32, generator=generator)
            for row, token in enumerate(tokens):
                new[row] = old.get(token, new[row])
            tensors[name] = new
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, "vocab_size": len(tokens) + padding}))
    data = json.loads((target / "tokenizer.json").read_text())
    data["model"]["vocab"] = {token: i for i, token in enumerate(tokens)}
    data["added_tokens"] = []
    (target / "tokenizer.json").write_text(json.dumps(data))
    return target


def opened_as(directories: dict[str, Path], source: str, **settings: int) -> Parents:
    return Parents.open(sources(directories), base="base", tokenizer=OutputTokenizer(source, **settings))


def rows(directory: Path, name: str = EMBEDDING) -> dict[str, Tensor]:
    ids = json.loads((directory / "tokenizer.json").read_text())["model"]["vocab"]
    table = load_file(directory / "model.safetensors")[name]
    return {token: table[i] for token, i in ids.items()}


@pytest.mark.parametrize("name", [EMBEDDING, HEAD])
def test_rows_are_found_by_token_whatever_their_number(name: str, untied: Family, tmp_path: Path) -> None:
    other = with_tokens(untied.experts["alpha"], tmp_path / "other", SHUFFLED)
    parents = opened_as({"base": untied.base, "other": other}, "base")
    assert parents["other"].tensor(name).equal(load_file(untied.experts["alpha"] / "model.safetensors")[name])


def test_parents_of_one_vocabulary_stay_views_of_their_files(family: Family) -> None:
    parents = opened_as(family.parents, "base")
    assert parents["alpha"].tensor(EMBEDDING).data_ptr() == parents["alpha"].tensor(EMBEDDING).data_ptr()


def test_a_token_that_a_parent_lacks_takes_the_bases_row(family: Family, tmp_path: Path) -> None:
    other = with_tokens(family.experts["alpha"], tmp_path / "other", [t for t in SHUFFLED if t != "q"])
    parents = opened_as({"base": family.base, "other": other}, "base")
    for row, token in enumerate(PLAIN):
        expected = rows(family.base)[token] if token == "q" else rows(other)[token]
        assert parents["other"].tensor(EMBEDDING)[row].equal(expected), token


def test_a_union_has_the_bases_tokens_first_and_rows_for_all(family: Family, tmp_path: Path) -> None:
    one = with_tokens(family.experts["alpha"], tmp_path / "one", [*SHUFFLED, "ä"])
    two = with_tokens(family.experts["beta"], tmp_path / "two", ["ß", *PLAIN, "ä"])
    parents = opened_as({"base": family.base, "one": one, "two": two}, "union")
    assert parents.vocabulary is not None
    assert list(parents.vocabulary.ids) == [*PLAIN, "ä", "ß"]
    shared = (rows(one)["ä"] + rows(two)["ä"]) / 2
    expected = {
        "base": [shared, rows(two)["ß"]],
        "one": [rows(one)["ä"], rows(two)["ß"]],
        "two": [rows(two)["ä"], rows(two)["ß"]],
    }
    for name, new in expected.items():
        torch.testing.assert_close(parents[name].tensor(EMBEDDING)[49:], torch.stack(new), rtol=0, atol=1e-7)


def test_the_tokens_of_another_parent_may_be_taken(family: Family, tmp_path: Path) -> None:
    other = with_tokens(family.experts["alpha"], tmp_path / "other", ["new", *SHUFFLED[1:]])
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "eos_token_id": 7}))
    parents = opened_as({"base": family.base, "other": other}, "other")
    expected = torch.stack([rows(other)["new"], *(rows(family.base)[token] for token in SHUFFLED[1:])])
    assert parents["base"].tensor(EMBEDDING).equal(expected)
    assert parents["base"].config["eos_token_id"] == 7


def test_padding_of_the_embedding_is_kept(family: Family, tmp_path: Path) -> None:
    base = with_tokens(family.base, tmp_path / "padded", PLAIN, padding=15)
    other = with_tokens(family.experts["alpha"], tmp_path / "other", [*SHUFFLED, "ä"], padding=4)
    for source, n_rows in (("base", 64), ("union", 64)):
        parents = opened_as({"base": base, "other": other}, source)
        padding = load_file(base / "model.safetensors")[EMBEDDING]
        mapped = parents["other"].tensor(EMBEDDING)
        assert mapped.shape == (n_rows, 32)
        assert mapped[54:].equal(padding[54:])
        assert mapped[50:53].equal(load_file(other / "model.safetensors")[EMBEDDING][50:53])
    assert opened_as({"base": family.base, "other": other}, "union", multiple_of=32)["base"].shape(EMBEDDING)[0] == 64


def test_half_precision_rows_are_copied_as_they_are(family: Family, tmp_path: Path) -> None:
    directories = {}
    for name, tokens in (("base", PLAIN), ("other", SHUFFLED)):
        directories[name] = with_tokens(family.base, tmp_path / name, tokens)
        file = directories[name] / "model.safetensors"
        save_file({key: tensor.bfloat16() for key, tensor in load_file(file).items()}, file)
    parents = opened_as(directories, "base")
    assert parents["other"].dtype(EMBEDDING) is torch.bfloat16
    assert parents["other"].tensor(EMBEDDING).equal(parents["base"].tensor(EMBEDDING))


def test_an_exported_union_encodes_and_computes_as_the_live_model_does(family: Family, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    other = with_tokens(family.experts["alpha"], tmp_path / "other", [*SHUFFLED, "ä"])
    parents = opened_as({"base": family.base, "other": other}, "union")
    inputs = (Input("base", {"weight": 0.5}), Input("other", {"weight": 0.5}))
    merge = recipe(parents, Rule("linear", inputs), tokenizer=parents.tokenizer)
    model = ResidentModel(build_module(parents["base"]), parents)
    model.become(merge)
    out = export(merge, parents, tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer.get_vocab() == dict(parents.vocabulary.ids if parents.vocabulary else {})
    ids = tokenizer("abä c", return_tensors="pt")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids[0]) == ["a", "b", "ä", " ", "c"]
    loaded = AutoModelForCausalLM.from_pretrained(out).eval()
    assert loaded.config.vocab_size == 50
    with torch.no_grad():
        assert model.model(ids).logits.equal(loaded(ids).logits)


def test_merged_rows_are_those_of_the_token(family: Family, tmp_path: Path) -> None:
    other = with_tokens(family.experts["alpha"], tmp_path / "other", SHUFFLED)
    shuffled = opened_as({"base": family.base, "other": other}, "base")
    plain = Parents.open(sources({"base": family.base, "other": family.experts["alpha"]}))
    rule = Rule("task_arithmetic", (Input("other", {"weight": 0.7}),))
    one = merged_tensor(recipe(shuffled, rule, tokenizer=shuffled.tokenizer), shuffled, EMBEDDING)
    assert one.equal(merged_tensor(recipe(plain, rule), plain, EMBEDDING))


def test_the_preflight_says_that_tokens_are_mapped(family: Family, tmp_path: Path) -> None:
    other = with_tokens(family.experts["alpha"], tmp_path / "other", [*SHUFFLED, "ä"])
    found = preflight(opened_as({"base": family.base, "other": other}, "union"), "base")
    assert not found.errors
    row = next(row for row in found.rows if row.property == "vocabulary")
    assert row.note == "mapped token by token to 50 tokens in 50 rows; 'base' lacks 1"


def test_parents_opened_for_other_tokens_are_refused(family: Family) -> None:
    parents = opened_as(family.parents, "base")
    with pytest.raises(SpaceError, match=r"tokenizer: expected .*source=None.*but the parents are open for .*'base'"):
        parents.check(recipe(parents, Rule("linear", (Input("alpha"),))))


def test_a_parent_without_tokenizer_has_the_bases_tokens_if_the_rows_are_as_many(
    family: Family, tmp_path: Path
) -> None:
    bare = Path(shutil.copytree(family.experts["alpha"], tmp_path / "bare"))
    (bare / "tokenizer.json").unlink()
    parents = opened_as({"base": family.base, "bare": bare}, "base")
    assert parents["bare"].tensor(EMBEDDING).equal(load_file(bare / "model.safetensors")[EMBEDDING])


def test_a_parent_whose_tokens_cannot_be_read_is_named(family: Family, tmp_path: Path) -> None:
    bare = with_tokens(family.base, tmp_path / "bare", [*PLAIN, "ä"])
    (bare / "tokenizer.json").unlink()
    with pytest.raises(SpaceError, match=r"expected the tokens of parent 'bare' in .*found no tokenizer.json"):
        opened_as({"base": family.base, "bare": bare}, "union")


def test_a_union_whose_ids_have_gaps_is_refused(family: Family, tmp_path: Path) -> None:
    base = with_tokens(family.base, tmp_path / "gaps", PLAIN, padding=4)
    data = json.loads((base / "tokenizer.json").read_text())
    data["model"]["vocab"]["z"] = 51
    (base / "tokenizer.json").write_text(json.dumps(data))
    other = with_tokens(family.experts["alpha"], tmp_path / "other", [*SHUFFLED, "ä"])
    parents = opened_as({"base": base, "other": other}, "union")
    merge = recipe(parents, Rule("passthrough", (Input("base"),)), tokenizer=parents.tokenizer)
    with pytest.raises(SpaceError, match=r"expected the token 'ä' at id 52, found .*have gaps"):
        export(merge, parents, tmp_path / "out")


TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"


@pytest.mark.parametrize(("wanted", "found"), [("auto", TEMPLATE), ("{{ messages[0] }}", "{{ messages[0] }}")])
def test_a_chat_template_is_written_with_the_tokenizer(wanted: str, found: str, family: Family, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    directories = {"base": family.base}
    for name in ("alpha", "beta"):
        directories[name] = Path(shutil.copytree(family.experts[name], tmp_path / name))
        (directories[name] / "chat_template.jinja").write_text(TEMPLATE)
    parents = Parents.open(sources(directories))
    merge = recipe(parents, Rule("passthrough", (Input("base"),)), tokenizer=OutputTokenizer(chat_template=wanted))
    out = export(merge, parents, tmp_path / "out")
    assert AutoTokenizer.from_pretrained(out).chat_template == found


def test_no_chat_template_anywhere_is_said(family: Family, tmp_path: Path) -> None:
    parents = Parents.open(sources(family.parents))
    merge = recipe(parents, Rule("passthrough", (Input("base"),)), tokenizer=OutputTokenizer(chat_template="auto"))
    with pytest.raises(SpaceError, match="chat_template: auto: expected a parent with a chat template, found none"):
        export(merge, parents, tmp_path / "out")
