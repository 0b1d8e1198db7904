from __future__ import annotations

import fcntl
import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from search_spaces.errors import SpaceError
from search_spaces.layers.architecture import build_module
from search_spaces.layers.sources import output_names
from search_spaces.live.resident import ResidentModel
from search_spaces.merging.materialise import merged_tensor
from search_spaces.output.export import export
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import Recipe
from search_spaces.recipes.rule import Input, Rule, Where
from tests.conftest import Family
from tests.search_spaces.merging.recipes import altered, copy_of, merge, opened, recipe, sources

EMBEDDING = "model.embed_tokens.weight"


@pytest.fixture
def half(parents: Parents) -> Recipe:
    return merge(parents, "ties", dtype="bfloat16", alpha=0.5, beta=0.5)


def tensors_of(directory: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for path in directory.glob("*.safetensors") for name, tensor in load_file(path).items()}


def leftovers(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("shard_bytes", [5 * 10**9, 20_000, 1])
def test_the_files_hold_the_merged_tensors_bit_for_bit_in_shards_of_any_size(
    parents: Parents, half: Recipe, tmp_path: Path, shard_bytes: int
) -> None:
    out = export(half, parents, tmp_path / "out", shard_bytes=shard_bytes)
    written = tensors_of(out)
    assert sorted(written) == sorted(output_names(half, parents))
    assert all(tensor.equal(merged_tensor(half, parents, name)) for name, tensor in written.items())
    assert all(tensor.dtype is torch.bfloat16 for tensor in written.values())


def test_shards_have_an_index_and_stay_below_the_limit(parents: Parents, half: Recipe, tmp_path: Path) -> None:
    out = export(half, parents, tmp_path / "out", shard_bytes=20_000)
    index = json.loads((out / "model.safetensors.index.json").read_text())
    files = sorted(out.glob("*.safetensors"))
    assert [f.name for f in files] == [
        f"model-0000{i}-of-0000{len(files)}.safetensors" for i in range(1, len(files) + 1)
    ]
    assert len(files) > 1
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in tensors_of(out).values())
    for file in files:
        with safe_open(file, "pt") as shard:
            names = list(shard.keys())
            assert shard.metadata() == {"format": "pt"}
            assert {index["weight_map"][name] for name in names} == {file.name}
            assert sum(shard.get_tensor(name).nbytes for name in names) <= 20_000


def test_one_shard_needs_no_index(parents: Parents, half: Recipe, tmp_path: Path) -> None:
    out = export(half, parents, tmp_path / "out")
    assert (out / "model.safetensors").is_file()
    assert not (out / "model.safetensors.index.json").exists()


def test_plain_transformers_loads_model_and_tokenizer_and_generates(
    parents: Parents, half: Recipe, tmp_path: Path
) -> None:
    out = export(half, parents, tmp_path / "out", shard_bytes=20_000)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    assert model.dtype is torch.bfloat16
    assert model.lm_head.weight is model.model.embed_tokens.weight
    tokens = tokenizer("1+1=", return_tensors="pt")
    assert model.generate(tokens["input_ids"], max_new_tokens=3, do_sample=False).shape[1] >= 5


def test_everything_else_comes_from_the_base(family: Family, tmp_path: Path) -> None:
    base = Path(shutil.copytree(family.base, tmp_path / "base"))
    (base / "chat_template.jinja").write_text("{{ messages }}")
    (base / "additional_chat_templates").mkdir()
    (base / "additional_chat_templates" / "tool.jinja").write_text("tools")
    (base / "optimizer.bin").write_text("not this")
    parents = opened({"base": base, "alpha": family.experts["alpha"]})
    r = merge(parents, dtype="float16", alpha=1.0)
    out = export(r, parents, tmp_path / "out", model_card="# Card", extra_files={"notes.txt": "ü"})
    copied = ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"]
    for file in [*copied, "additional_chat_templates/tool.jinja"]:
        assert (out / file).read_bytes() == (base / file).read_bytes()
    config = json.loads((base / "config.json").read_text())
    assert json.loads((out / "config.json").read_text()) == {**config, "dtype": "float16"}
    assert Recipe.from_json((out / "recipe.json").read_text()) == r
    assert (out / "README.md").read_text() == "# Card"
    assert (out / "notes.txt").read_text(encoding="utf-8") == "ü"
    assert not (out / "optimizer.bin").exists()


def test_the_config_states_dtype_under_its_own_key_and_the_tie_flag(
    set_config: Callable[..., Path], family: Family, tmp_path: Path
) -> None:
    directory = set_config(torch_dtype="float32")
    config = json.loads((directory / "config.json").read_text())
    del config["tie_word_embeddings"], config["dtype"]
    (directory / "config.json").write_text(json.dumps(config))
    parents = opened({"base": directory, "alpha": family.experts["alpha"]})
    out = export(merge(parents, dtype="bfloat16", alpha=1.0), parents, tmp_path / "out")
    assert json.loads((out / "config.json").read_text()) == {
        **config,
        "torch_dtype": "bfloat16",
        "tie_word_embeddings": True,
    }


def test_an_untied_model_stays_untied(untied: Family, tmp_path: Path) -> None:
    parents = opened(untied.parents)
    out = export(merge(parents, alpha=0.5, beta=0.5), parents, tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(out)
    assert not model.lm_head.weight.equal(model.model.embed_tokens.weight)
    assert model.lm_head.weight.equal(merged_tensor(merge(parents, alpha=0.5, beta=0.5), parents, "lm_head.weight"))


def test_another_depth_is_written_with_its_config(
    set_config: Callable[..., Path], family: Family, tmp_path: Path
) -> None:
    directory = set_config(layer_types=["full_attention", "sliding_attention"], eos_token_id=[2, 3])
    parents = opened({"base": directory, "alpha": family.experts["alpha"]})
    r = recipe(
        parents,
        copy_of("base", Where(layers=(0, 1))),
        copy_of("alpha"),
        layers=({"base": 1}, {"alpha": 0}, {"alpha": 1}),
    )
    out = export(r, parents, tmp_path / "out")
    config = json.loads((out / "config.json").read_text())
    assert config["num_hidden_layers"] == 3
    assert config["layer_types"][:1] == ["sliding_attention"]
    assert len(config["layer_types"]) == 3
    assert config["eos_token_id"] == [2, 3]
    written = tensors_of(out)
    for layer, (parent, source) in enumerate((("base", 1), ("alpha", 0), ("alpha", 1))):
        name = "model.layers.{}.self_attn.q_proj.weight"
        assert written[name.format(layer)].equal(parents[parent].tensor(name.format(source)))


def test_a_deeper_export_loads_with_plain_transformers(parents: Parents, tmp_path: Path) -> None:
    r = recipe(parents, copy_of("alpha"), layers=tuple({"alpha": i} for i in (0, 1, 0, 1)))
    model = AutoModelForCausalLM.from_pretrained(export(r, parents, tmp_path / "out"))
    assert len(model.model.layers) == 4
    assert model(torch.tensor([[1, 2]])).logits.isfinite().all()


def test_buffers_of_odd_sizes_and_dtypes_are_written_aligned(family: Family, tmp_path: Path) -> None:
    def add_buffers(tensors: dict[str, torch.Tensor]) -> None:
        tensors["a.flags"] = torch.tensor([True, False, True])
        tensors["a.counter"] = torch.tensor(7)
        tensors["a.empty"] = torch.zeros(0, 4)
        tensors["a.scalar"] = torch.tensor(0.5)

    parents = opened({n: altered(path, tmp_path / n, add_buffers) for n, path in family.parents.items()})
    written = tensors_of(export(merge(parents, dtype="float16", alpha=1.0), parents, tmp_path / "out"))
    assert written["a.flags"].tolist() == [True, False, True]
    assert written["a.counter"].item() == 7
    assert written["a.empty"].shape == (0, 4)
    assert written["a.scalar"].item() == 0.5
    assert written[EMBEDDING].equal(parents["alpha"].tensor(EMBEDDING).half())


def test_an_export_can_be_a_parent_again(parents: Parents, half: Recipe, tmp_path: Path) -> None:
    out = export(half, parents, tmp_path / "out", shard_bytes=20_000)
    again = opened({"base": out})
    second = export(merge(again, dtype="bfloat16", base=1.0), again, tmp_path / "again")
    first = tensors_of(out)
    assert all(tensor.equal(first[name]) for name, tensor in tensors_of(second).items())


@pytest.mark.parametrize("where", [".", "inside/deeper", ".."])
def test_a_place_at_inside_or_above_a_parent_is_refused(
    parents: Parents, half: Recipe, family: Family, where: str
) -> None:
    before = leftovers(family.experts["beta"])
    with pytest.raises(SpaceError, match="expected a directory apart from the parents, found parent"):
        export(half, parents, family.experts["beta"] / where)
    assert leftovers(family.experts["beta"]) == before


def test_a_parent_behind_a_link_is_not_overwritten(
    parents: Parents, half: Recipe, family: Family, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(family.experts["beta"])
    with pytest.raises(SpaceError, match="found parent 'beta' there"):
        export(half, parents, tmp_path / "link")


def test_a_directory_in_use_is_refused_and_an_empty_one_is_filled(
    parents: Parents, half: Recipe, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    export(half, parents, tmp_path / "out")
    with pytest.raises(SpaceError, match="expected a new or empty directory, found one in use"):
        export(half, parents, tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(SpaceError, match="expected a new or empty directory"):
        export(half, parents, tmp_path / "file")


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json", "../up", "a/b", ".", ""])
def test_extra_files_may_not_replace_the_exports_own(parents: Parents, half: Recipe, tmp_path: Path, file: str) -> None:
    with pytest.raises(SpaceError, match="extra_files: expected a file name that the export does not use itself"):
        export(half, parents, tmp_path / "out", extra_files={file: ""})
    assert leftovers(tmp_path) == []


def test_a_disk_without_room_is_refused_before_anything_is_written(parents: Parents, half: Recipe) -> None:
    if shutil.disk_usage("/proc").free:
        pytest.skip("needs a file system without free space")
    with pytest.raises(SpaceError, match=r"/proc: expected [\d,]+ free bytes for the export, found 0; make room"):
        export(half, parents, Path("/proc/evomerge-export"))


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let writes beyond 30 kB fail as on a disk without room: the kernel stops them half-way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files")
def test_a_disk_that_becomes_full_leaves_nothing_behind(parents: Parents, half: Recipe, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"the disk became full while exporting .*make room on the disk"):
        export(half, parents, tmp_path / "out")
    assert leftovers(tmp_path) == []


def test_a_place_that_cannot_be_written_is_named(parents: Parents, half: Recipe, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpaceError, match=r"cannot be written .*check the path and its permissions"):
        export(half, parents, tmp_path / "file" / "out")


def test_a_merge_that_fails_leaves_nothing_behind(parents: Parents, tmp_path: Path) -> None:
    rule = Rule("passthrough", (Input("alpha", {"scale": 1e38}),), where=Where(contains="norm"))
    r = recipe(parents, rule, copy_of("alpha"), dtype="float16")
    with pytest.raises(SpaceError, match="found NaN or infinity"):
        export(r, parents, tmp_path / "out")
    assert leftovers(tmp_path) == []


def test_what_a_killed_export_left_behind_is_replaced(parents: Parents, half: Recipe, tmp_path: Path) -> None:
    (tmp_path / ".out.partial" / "sub").mkdir(parents=True)
    (tmp_path / ".out.partial" / "model.safetensors").write_text("half")
    out = export(half, parents, tmp_path / "out")
    assert leftovers(tmp_path) == ["out"]
    assert not (out / "sub").exists()


def test_two_exports_to_one_place_do_not_mix(parents: Parents, half: Recipe, tmp_path: Path) -> None:
    partial = tmp_path / ".out.partial"
    partial.mkdir()
    (partial / "theirs").write_text("")
    descriptor = os.open(partial, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with pytest.raises(SpaceError, match="another export to the same place is under way"):
            export(half, parents, tmp_path / "out")
    finally:
        os.close(descriptor)
    assert leftovers(partial) == ["theirs"]


def test_a_recipe_of_other_parents_is_refused(parents: Parents, family: Family, half: Recipe, tmp_path: Path) -> None:
    fewer = Parents.open(sources({"base": family.base}))
    with pytest.raises(SpaceError, match=r"expected one of \['base'\], found 'alpha'"):
        export(half, fewer, tmp_path / "out")


def test_reading_an_export_back_finds_what_the_headers_promise(parents: Parents, half: Recipe, tmp_path: Path) -> None:
    out = Checkpoint.open(sources({"out": export(half, parents, tmp_path / "out")})["out"])
    assert out.tied
    assert {out.shape(name) for name in out.names} == {parents["base"].shape(name) for name in out.names}


def test_one_untied_parent_gives_the_output_a_head_of_its_own(family: Family, untied: Family, tmp_path: Path) -> None:
    parents = opened({"base": family.base, "alpha": untied.experts["alpha"]})
    merge = recipe(parents, Rule("task_arithmetic", (Input("alpha", {"weight": 0.5}),)))
    out = export(merge, parents, tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(out).eval()
    base, head = (load_file(d / "model.safetensors") for d in (family.base, untied.experts["alpha"]))
    expected = base[EMBEDDING] + 0.5 * (head["lm_head.weight"] - base[EMBEDDING])
    torch.testing.assert_close(loaded.lm_head.weight.data, expected)
    model = ResidentModel(build_module(parents["base"]), parents)
    model.become(merge)
    tokens = torch.arange(12).view(2, 6) + 3
    with torch.no_grad():
        assert model.model(tokens).logits.equal(loaded(tokens).logits)
