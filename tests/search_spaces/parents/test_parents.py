from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from search_spaces.errors import SpaceError
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import ParentSource
from tests.conftest import Family
from tests.search_spaces.merging.recipes import merge


def checkpoint(directory: Path) -> Checkpoint:
    return Checkpoint.open(ParentSource(str(directory)))


def save_sharded(directory: Path) -> Path:
    """Split a checkpoint's only file in two shards with an index."""
    tensors = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    weight_map = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(sorted(tensors))}
    for file in set(weight_map.values()):
        save_file({n: t for n, t in tensors.items() if weight_map[n] == file}, directory / file)
    write_index(directory, weight_map)
    return directory


def write_index(directory: Path, weight_map: object) -> None:
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_a_checkpoint_tells_names_shapes_dtypes_config_and_size_without_reading_tensors(family: Family) -> None:
    base = checkpoint(family.base)
    assert base.shape("model.embed_tokens.weight") == (49, 32)
    assert base.dtype("model.norm.weight") is torch.float32
    assert base.config["model_type"] == "llama"
    assert base.size_bytes == (family.base / "model.safetensors").stat().st_size
    assert base.directory == family.base.resolve()
    assert set(base.names) == set(load_file(family.base / "model.safetensors"))


def test_two_reads_of_a_tensor_share_the_mapped_pages(family: Family) -> None:
    base = checkpoint(family.base)
    assert base.tensor("model.norm.weight").data_ptr() == base.tensor("model.norm.weight").data_ptr()


def test_shards_read_like_one_file(family: Family, damaged: Path) -> None:
    whole, sharded = checkpoint(family.base), checkpoint(save_sharded(damaged))
    assert set(sharded.names) == set(whole.names)
    assert all(sharded.tensor(name).equal(whole.tensor(name)) for name in whole.names)


def test_heads_and_embeddings_are_found_without_a_table_of_names(family: Family, untied: Family) -> None:
    tied, separate = checkpoint(family.base), checkpoint(untied.base)
    assert (tied.embedding, tied.head, tied.tied) == ("model.embed_tokens.weight", None, True)
    assert (separate.embedding, separate.head, separate.tied) == ("model.embed_tokens.weight", "lm_head.weight", False)


def test_an_unknown_tensor_or_parent_is_named(parents: Parents) -> None:
    with pytest.raises(SpaceError, match=r"expected a tensor nothing\.weight, found none"):
        parents["base"].tensor("nothing.weight")
    with pytest.raises(SpaceError, match=r"expected one of \['alpha', 'base', 'beta'\], found 'gamma'"):
        parents["gamma"]


def test_a_recipe_of_another_model_under_the_same_name_is_refused(parents: Parents, family: Family) -> None:
    other = Parents.open(
        {**{n: c.source for n, c in parents.checkpoints.items()}, "alpha": ParentSource(str(family.base))}
    )
    with pytest.raises(SpaceError, match=r"parent 'alpha': expected .*but .* is open under this name"):
        other.check(merge(parents, alpha=1.0))


def test_every_parent_that_cannot_be_opened_is_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(SpaceError) as raised:
        Parents.open({name: ParentSource(str(tmp_path / name)) for name in ("one", "two")})
    lines = str(raised.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["parent 'one'", "parent 'two'"]


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="gone: expected the directory of a checkpoint, found nothing there"):
        checkpoint(tmp_path / "gone")


def test_a_hub_id_that_cannot_be_had_is_named() -> None:
    with pytest.raises(
        SpaceError, match="nobody/nothing: no such directory, and as a hub id it could not be downloaded"
    ):
        Checkpoint.open(ParentSource("nobody/nothing", revision="1" * 40))


def test_a_hub_id_is_read_from_the_local_cache(family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    revision = "1" * 40
    snapshot = tmp_path / "models--someone--tiny" / "snapshots" / revision
    snapshot.mkdir(parents=True)
    for path in family.base.iterdir():
        (snapshot / path.name).symlink_to(path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    found = Checkpoint.open(ParentSource("someone/tiny", revision))
    assert found.names == checkpoint(family.base).names


def test_a_file_whose_tensors_are_not_aligned_is_read_too(damaged: Path) -> None:
    file = damaged / "model.safetensors"
    content, tensors = file.read_bytes(), {name: tensor.clone() for name, tensor in load_file(file).items()}
    length = int.from_bytes(content[:8], "little")
    file.write_bytes((length + 1).to_bytes(8, "little") + content[8 : 8 + length] + b" " + content[8 + length :])
    read = checkpoint(damaged)
    assert all(read.tensor(name).equal(tensor) for name, tensor in tensors.items())


def test_a_directory_without_config_is_named(damaged: Path) -> None:
    (damaged / "config.json").unlink()
    with pytest.raises(SpaceError, match=r"damaged: expected config\.json, found none"):
        checkpoint(damaged)


def test_a_broken_config_is_named(damaged: Path) -> None:
    (damaged / "config.json").write_text("{")
    with pytest.raises(SpaceError, match=r"config\.json: expected a JSON object, found what cannot be read"):
        checkpoint(damaged)


def test_pickled_weights_are_refused_with_the_way_to_convert_them(damaged: Path) -> None:
    (damaged / "model.safetensors").rename(damaged / "pytorch_model.bin")
    with pytest.raises(
        SpaceError, match=r"found PyTorch pickles.*convert it once: python -c .*safe_serialization=True"
    ):
        checkpoint(damaged)


def test_a_directory_without_weights_is_named(damaged: Path) -> None:
    (damaged / "model.safetensors").unlink()
    with pytest.raises(
        SpaceError, match=r"expected model\.safetensors or model\.safetensors\.index\.json, found neither"
    ):
        checkpoint(damaged)


@pytest.mark.parametrize("method", ["gptq", "awq", "bitsandbytes", "fp8"])
def test_quantised_parents_are_refused(set_config: Callable[..., Path], method: str) -> None:
    directory = set_config(quantization_config={"quant_method": method, "bits": 4})
    with pytest.raises(
        SpaceError, match=rf"found quantised ones \({method}\): merging needs float32, bfloat16 or float16"
    ):
        checkpoint(directory)


def test_gguf_is_refused_as_a_file_and_in_a_directory(damaged: Path) -> None:
    (damaged / "model.safetensors").rename(damaged / "model-q4.gguf")
    for path in (damaged, damaged / "model-q4.gguf"):
        with pytest.raises(
            SpaceError, match=r"expected safetensors, found GGUF.*the model that this one was quantised from"
        ):
            checkpoint(path)


def test_an_eight_bit_tensor_is_refused(damaged: Path) -> None:
    save_file({"model.norm.weight": torch.zeros(2, dtype=torch.float8_e4m3fn)}, damaged / "model.safetensors")
    with pytest.raises(
        SpaceError, match=r"expected float32, bfloat16 or float16, found F8_E4M3 in model\.norm\.weight"
    ):
        checkpoint(damaged)


@pytest.mark.parametrize("keep", [0, 5, 100, 30_000])
def test_a_truncated_file_is_refused_at_open(damaged: Path, keep: int) -> None:
    path = damaged / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SpaceError, match=rf"found a truncated or damaged one of {keep:,} bytes"):
        checkpoint(damaged)


def test_a_corrupt_header_is_refused_at_open(damaged: Path) -> None:
    data = bytearray((damaged / "model.safetensors").read_bytes())
    data[8:40] = b"\xff" * 32
    (damaged / "model.safetensors").write_bytes(data)
    with pytest.raises(SpaceError, match="found a truncated or damaged one"):
        checkpoint(damaged)


def test_a_truncated_shard_is_refused_at_open(damaged: Path) -> None:
    shard = save_sharded(damaged) / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(SpaceError, match=r"model-00002-of-00002\.safetensors: expected a whole safetensors file"):
        checkpoint(damaged)


def test_a_missing_shard_is_named(damaged: Path) -> None:
    (save_sharded(damaged) / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(SpaceError, match=r"expected 2 shards, 1 of them missing: model-00002-of-00002\.safetensors"):
        checkpoint(damaged)


def test_a_missing_index_is_named(damaged: Path) -> None:
    (save_sharded(damaged) / "model.safetensors.index.json").unlink()
    with pytest.raises(SpaceError, match=r"expected model\.safetensors\.index\.json beside the shards, found none"):
        checkpoint(damaged)


@pytest.mark.parametrize(
    "file",
    [
        "../base/model.safetensors",
        "/etc/passwd",
        "..",
        "a/../../b",
        "..\\b.safetensors",
        "../c.safetensors",
        "model.bin",
        3,
    ],
)
def test_an_index_that_points_outside_the_directory_is_refused(damaged: Path, file: object) -> None:
    (damaged / "model.safetensors").unlink()
    write_index(damaged, {"model.norm.weight": file})
    with pytest.raises(SpaceError, match="expected the name of a safetensors file in the same directory, found"):
        checkpoint(damaged)


@pytest.mark.parametrize("weight_map", [None, {}, []])
def test_an_index_without_files_is_refused(damaged: Path, weight_map: object) -> None:
    (damaged / "model.safetensors").unlink()
    write_index(damaged, weight_map)
    with pytest.raises(SpaceError, match="expected a weight_map of tensor names to files"):
        checkpoint(damaged)


def test_a_tensor_that_the_index_promises_but_no_shard_holds_is_named(damaged: Path) -> None:
    save_sharded(damaged)
    index = json.loads((damaged / "model.safetensors.index.json").read_text())["weight_map"]
    write_index(damaged, {**index, "lost.weight": "model-00001-of-00002.safetensors"})
    with pytest.raises(SpaceError, match=r"expected the tensor lost\.weight as the index says, found none"):
        checkpoint(damaged)
