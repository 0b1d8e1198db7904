"""llama.cpp's format: by its converter where there is one (EVOMERGE_LLAMA_CPP), by a sentence where there is none."""

import os
from pathlib import Path

import pytest

from evomerge.publishing.gguf import GgufError, converter, to_gguf
from tests.conftest import Family


def test_without_a_converter_a_sentence_says_where_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GgufError, match=r"llama\.cpp's convert_hf_to_gguf\.py on PATH, found none: git clone"):
        converter()
    with pytest.raises(GgufError, match="found none"):
        converter(tmp_path)


def test_what_the_converter_cannot_convert_is_its_own_last_line(tmp_path: Path) -> None:
    script = tmp_path / "convert_hf_to_gguf.py"
    script.write_text("raise NotImplementedError('Architecture ToyForCausalLM not supported!')")
    with pytest.raises(GgufError, match=r"could not convert .*: NotImplementedError: Architecture ToyForCausalLM"):
        to_gguf(tmp_path, "q8_0", converter(tmp_path))
    assert not list(tmp_path.glob("*.gguf"))


def test_llama_cpps_converter_writes_every_tensor(family: Family, tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    if "EVOMERGE_LLAMA_CPP" not in os.environ:
        pytest.skip("EVOMERGE_LLAMA_CPP does not name a clone of llama.cpp")
    model = tmp_path / "model"
    model.mkdir()
    for file in family.base.iterdir():
        (model / file.name).symlink_to(file)
    out = to_gguf(model, "f16", converter(Path(os.environ["EVOMERGE_LLAMA_CPP"])))
    assert len(gguf.GGUFReader(out).tensors) > 10
