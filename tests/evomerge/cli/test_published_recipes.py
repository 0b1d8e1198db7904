"""`evomerge merge` on what model cards publish: warnings, several merges in one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

import evomerge as em
from tests.conftest import Family, make_family
from tests.evomerge.conftest import Outcome

Command = Callable[..., Outcome]


def linear(*models: tuple[object, float], **keys: Any) -> dict[str, Any]:
    entries = [{"model": str(model), "parameters": {"weight": weight}} for model, weight in models]
    return {"merge_method": "linear", "models": entries, "dtype": "float32", **keys}


def write(directory: Path, *documents: object) -> Path:
    file = directory / "merge.yml"
    file.write_text(yaml.safe_dump_all(documents))
    return file


def average(family: Family, **shares: float) -> dict[str, torch.Tensor]:
    parts = {name: load_file(family.parents[name] / "model.safetensors") for name in shares}
    return {
        tensor: sum((share * parts[name][tensor] for name, share in shares.items()), torch.tensor(0.0))
        for tensor in parts[next(iter(shares))]
    }


def check(directory: Path, expected: dict[str, torch.Tensor]) -> None:
    found = load_file(directory / "model.safetensors")
    assert all(torch.allclose(found[name], tensor, rtol=0, atol=1e-6) for name, tensor in expected.items())


def test_what_has_no_effect_is_a_warning_and_with_strict_an_error(
    evomerge: Command, family: Family, tmp_path: Path
) -> None:
    data = linear((family.base, 0.5), (family.experts["alpha"], 0.5), name="mine", parameters={"density": 0.5})
    file = write(tmp_path, data)
    refusal = evomerge("merge", file, tmp_path / "out", "--strict")
    assert refusal.code == 1
    assert "strict: name: ignored" in refusal.err
    assert not (tmp_path / "out").exists()
    done = evomerge("merge", file, tmp_path / "out")
    assert done.code == 0
    assert done.err.splitlines() == [
        "warning: name: ignored, as by mergekit: no such key",
        "warning: parameters.density: ignored, as by mergekit: linear does not use it",
    ]
    check(tmp_path / "out", average(family, base=0.5, alpha=0.5))


def test_a_filter_for_other_families_makes_nothing_and_is_told(family: Family, tmp_path: Path) -> None:
    weight = [{"filter": "block_sparse_moe", "value": 9.0}, {"value": 1.0}]
    data = linear((family.base, 1.0), (family.experts["alpha"], 1.0), parameters={"weight": weight})
    for entry in data["models"]:
        del entry["parameters"]
    done = em.merge(write(tmp_path, data), tmp_path / "out")
    assert done.notes == ("filter: 'block_sparse_moe' is in no tensor's name: ignored",)
    check(done.directory, average(family, base=0.5, alpha=0.5))
    with pytest.raises(em.EvomergeError, match="strict: filter: 'block_sparse_moe'"):
        em.merge(tmp_path / "merge.yml", tmp_path / "strict", strict=True)


def test_later_documents_merge_what_earlier_ones_made(evomerge: Command, family: Family, tmp_path: Path) -> None:
    alpha, beta = family.experts.values()
    first = linear((family.base, 0.5), (alpha, 0.5), name="first")
    second = linear(("first", 0.25), (beta, 0.75), name="second")
    last = linear(("second", 0.5), ("first", 0.5), tokenizer_source="second")
    file = write(tmp_path, last, second, first)  # in whatever order
    done = evomerge("merge", file, tmp_path / "out")
    assert done.code == 0, done.err
    assert "merge 1 of 3: first" in done.out
    check(tmp_path / "out", average(family, base=0.3125, alpha=0.3125, beta=0.375))
    assert "first" in (tmp_path / "out" / "mergekit_config.yml").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["merge.yml", "out"]


def test_results_that_all_have_names_lie_in_one_directory(family: Family, tmp_path: Path) -> None:
    alpha, beta = family.experts.values()
    file = write(tmp_path, linear((alpha, 1.0), name="one"), linear((beta, 1.0), ("one", 1.0), name="two"))
    file.write_text(file.read_text() + "---\n" + yaml.safe_dump(linear(("one", 1.0), name="three")))
    merged = em.merge(file, tmp_path / "out")
    assert sorted(path.name for path in merged.directory.iterdir()) == ["three", "two"]
    check(tmp_path / "out" / "two", average(family, alpha=0.5, beta=0.5))
    check(tmp_path / "out" / "three", average(family, alpha=1.0))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"parameters": {"normalise": False}}, "document 2: parameters: .*did you mean 'normalize'"),
        ({"tokenizer_source": "absent"}, "absent: no such directory"),
        ({"merge_method": "slerp", "base_model": "first", "parameters": {"t": "most"}}, "t: expected a finite number"),
    ],
)
def test_a_fault_in_a_later_document_is_told_before_the_first_merge(
    fault: dict[str, object], message: str, family: Family, tmp_path: Path
) -> None:
    last = linear(("first", 1.0), (family.experts["alpha"], 1.0)) | fault
    told: list[object] = []
    file = write(tmp_path, linear((family.base, 1.0), name="first"), last)
    with pytest.raises(em.EvomergeError, match=message):
        em.merge(file, tmp_path / "out", callbacks=told.append)
    assert told == []
    assert [path.name for path in tmp_path.iterdir()] == ["merge.yml"]


def test_what_fails_between_the_merges_leaves_nothing(family: Family, tmp_path: Path) -> None:
    wide = make_family(tmp_path / "wide", (), hidden=64).base
    file = write(tmp_path, linear((family.base, 1.0), name="first"), linear(("first", 1.0), (wide, 1.0)))
    with pytest.raises(em.EvomergeError, match="hidden_size"):
        em.merge(file, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["merge.yml", "wide"]


def test_what_needs_one_merge_says_so(family: Family, tmp_path: Path) -> None:
    file = write(tmp_path, linear((family.base, 1.0), name="first"), linear(("first", 1.0)))
    with pytest.raises(em.EvomergeError, match="expected one merge with as_adapter, found 2 documents"):
        em.merge(file, tmp_path / "out", as_adapter=True)
    with pytest.raises(em.EvomergeError, match="expected one merge, found 2 documents"):
        em.read_recipe(file)


def test_documents_may_be_indented_and_named_by_where_mergekit_put_them(family: Family, tmp_path: Path) -> None:
    file = write(tmp_path, linear((family.base, 1.0), name="First"))
    last = linear(("./intermediates/First", 0.5), (family.experts["alpha"], 0.5))
    text = f"{file.read_text()}---\n{yaml.safe_dump(last)}"
    file.write_text("".join(f"    {line}\n" for line in text.splitlines()))
    check(em.merge(file, tmp_path / "out").directory, average(family, base=0.5, alpha=0.5))


def test_empty_documents_are_none(family: Family, tmp_path: Path) -> None:
    file = write(tmp_path, linear((family.base, 1.0)))
    file.write_text(f"---\n# my merge\n---\n{file.read_text()}---\n")
    assert em.read_recipe(file).rules[0].operator == "linear"
