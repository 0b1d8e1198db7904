from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search_spaces.errors import SpaceError
from search_spaces.output.export import export
from search_spaces.recipes.recipe import OutputTokenizer, ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule
from tests.conftest import Family, make_family
from tests.search_spaces.merging.recipes import opened

AUTO_MAP = {"AutoConfig": "configuration_foo.FooConfig", "AutoModel": "modeling_foo.FooModel"}
MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"},
]
JSON_FILES = {
    "preprocessor_config.json": {"image_processor_type": "ViTImageProcessor"},
    "processor_config.json": {"processor_class": "Gemma3Processor"},
    "video_preprocessor_config.json": {"size": 3},
    "chat_template.json": {"chat_template": "{{ messages }}"},
    "generation_config.json": {"eos_token_id": 2},
    "sentence_bert_config.json": {"max_seq_length": 64},
    "config_sentence_transformers.json": {"prompts": {"query": "q: "}},
    "1_Pooling/config.json": {"pooling_mode_cls_token": True},
    "2_Dense/config.json": {"in_features": 32},
    "modules.json": MODULES,
}


@pytest.fixture
def own(tmp_path: Path) -> Family:
    """A family of one layer whose files may be written."""
    return make_family(tmp_path / "family", layers=1)


def write(directory: Path, files: dict[str, Any]) -> None:
    for name, content in files.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(content if isinstance(content, str) else json.dumps(content))


def change(file: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads(file.read_text()) if file.is_file() else {}
    edit(data)
    file.write_text(json.dumps(data))


def exported(family: Family, out: Path, **options: Any) -> tuple[Path, list[str]]:
    sources = {name: ParentSource(str(path)) for name, path in family.parents.items()}
    rule = Rule("linear", (Input("alpha", {"weight": 0.5}), Input("beta", {"weight": 0.5})))
    tokenizer = options.pop("tokenizer", OutputTokenizer())
    recipe = Recipe(sources, "base", (rule,), dtype="float32", tokenizer=tokenizer)
    notes: list[str] = []
    return export(recipe, opened(family.parents), out, say=notes.append, **options), notes


def test_everything_that_belongs_to_the_base_is_in_the_output(own: Family, tmp_path: Path) -> None:
    texts = {"LICENSE": "mine", "NOTICE.txt": "n", "sentencepiece.bpe.model": "s", "2_Dense/model.safetensors": "w"}
    write(own.base, {**JSON_FILES, **texts, "train.py": "raise SystemExit", "optimizer.pt": "o", "README.md": "card"})
    out, notes = exported(own, tmp_path / "out")
    for name, content in JSON_FILES.items():
        assert json.loads((out / name).read_text()) == content, name
    assert {name: (out / name).read_text() for name in texts} == texts
    assert not [name for name in ("train.py", "optimizer.pt", "README.md") if (out / name).exists()]
    assert notes == ["2_Dense: its weights are the base's; modules behind the transformer are not merged"]


def test_code_is_not_copied_and_nothing_points_to_it(own: Family, tmp_path: Path) -> None:
    code = {"configuration_foo.py": "", "modeling_foo.py": "", "processing_foo.py": ""}
    write(own.base, code)
    elsewhere = {"AutoTokenizer": ["other/repository--tokenization_foo.Slow", None]}
    change(own.base / "config.json", lambda c: c.update(auto_map=AUTO_MAP))
    change(own.base / "processor_config.json", lambda c: c.update(auto_map={"AutoProcessor": "processing_foo.Foo"}))
    change(own.base / "tokenizer_config.json", lambda c: c.update(auto_map=elsewhere))
    out, notes = exported(own, tmp_path / "out")
    assert not list(out.glob("*.py"))
    assert "auto_map" not in json.loads((out / "config.json").read_text())
    assert json.loads((out / "processor_config.json").read_text()) == {}
    assert json.loads((out / "tokenizer_config.json").read_text())["auto_map"] == elsewhere
    assert sorted(notes) == [
        "config.json: auto_map is left out, as its code (configuration_foo.py, modeling_foo.py) is not there; "
        "trust_remote_code: true (--trust-remote-code) copies it, without running it",
        "processor_config.json: auto_map is left out, as its code (processing_foo.py) is not there; "
        "trust_remote_code: true (--trust-remote-code) copies it, without running it",
    ]


def test_code_is_copied_where_that_is_allowed_and_never_run(own: Family, tmp_path: Path) -> None:
    code = {"configuration_foo.py": "raise SystemExit", "modeling_foo.py": "raise SystemExit", "layers.py": "x = 1"}
    write(own.base, code)
    change(own.base / "config.json", lambda c: c.update(auto_map=AUTO_MAP))
    out, notes = exported(own, tmp_path / "out", remote_code=True)
    assert {file.name: file.read_text() for file in out.glob("*.py")} == code
    assert json.loads((out / "config.json").read_text())["auto_map"] == AUTO_MAP
    assert notes == []


def test_auto_map_without_its_code_is_left_out_even_where_code_is_allowed(own: Family, tmp_path: Path) -> None:
    write(own.base, {"configuration_foo.py": ""})
    change(own.base / "config.json", lambda c: c.update(auto_map=AUTO_MAP))
    out, notes = exported(own, tmp_path / "out", remote_code=True)
    assert "auto_map" not in json.loads((out / "config.json").read_text())
    assert len(notes) == 1
    assert "(modeling_foo.py)" in notes[0]


def test_code_of_a_module_that_is_not_copied_is_noted(own: Family, tmp_path: Path) -> None:
    write(own.base, {"modules.json": [{"path": "", "type": "custom_st.Transformer"}], "custom_st.py": ""})
    _, notes = exported(own, tmp_path / "out")
    assert notes[0].startswith("modules.json: the code of custom_st.Transformer is not copied")
    assert exported(own, tmp_path / "again", remote_code=True)[1] == []


def test_a_chosen_chat_template_is_the_only_one(own: Family, tmp_path: Path) -> None:
    write(own.base, {"processor_config.json": {"chat_template": "old", "size": 3}, "chat_template.json": "{}"})
    out, _ = exported(own, tmp_path / "out", tokenizer=OutputTokenizer(chat_template="new"))
    assert (out / "chat_template.jinja").read_text() == "new"
    assert json.loads((out / "processor_config.json").read_text()) == {"size": 3}
    assert not (out / "chat_template.json").exists()


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([{"path": "../secrets"}], "expected folders beside it, found '../secrets'"),
        ([{"path": "/etc"}], "expected folders beside it, found '/etc'"),
        ({"0": ""}, "expected a list of modules with a path each"),
        ([{"path": 3}], "expected a list of modules with a path each"),
        ("not JSON", "expected JSON"),
    ],
)
def test_modules_that_lead_elsewhere_are_refused(own: Family, tmp_path: Path, modules: object, message: str) -> None:
    write(own.base, {"modules.json": modules})
    with pytest.raises(SpaceError, match=message):
        exported(own, tmp_path / "out")
    assert not (tmp_path / "out").exists()
