from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from search_spaces.cache_directory import cache_directory
from search_spaces.checks.kinship.measures import MOST_ENTRIES, measure
from search_spaces.checks.preflight import ParentTraits, Preflight, preflight
from search_spaces.errors import SpaceError
from search_spaces.parents.parents import Parents
from tests.conftest import save_model
from tests.search_spaces.checks.kinship.relatives import LOCKS, fine_tuned, logits, make_base
from tests.search_spaces.merging.recipes import altered, sources
from tests.search_spaces.parents.adapters import save_adapter


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("kin") / "base")


@pytest.fixture(scope="module")
def expert(base: Path) -> Path:
    return fine_tuned(base, base.parent / "expert", seed=1)


@pytest.fixture(scope="module")
def other(base: Path) -> Path:
    return fine_tuned(base, base.parent / "other", seed=2)


def checked(allowed: tuple[str, ...] = (), **directories: Path) -> Preflight:
    return preflight(Parents.open(sources(directories), base="base"), "base", allowed=allowed)


def traits(**directories: Path) -> dict[str, ParentTraits]:
    return {each.name: each for each in checked(**directories).parents}


def scaled(base: Path, expert: Path, directory: Path, times: float) -> Path:
    """The base plus the expert's task vector so many times."""
    start = load_file(base / "model.safetensors")

    def scale(tensors: dict[str, Tensor]) -> None:
        for name, weight in tensors.items():
            tensors[name] = start[name] + times * (weight - start[name])

    return altered(expert, directory, scale)


def test_distances_and_cosines_are_those_of_the_whole_task_vectors(base: Path, expert: Path, other: Path) -> None:
    start, one, two = (load_file(path / "model.safetensors") for path in (base, expert, other))
    found = traits(base=base, one=expert, two=other)["one"]
    embedding = "model.embed_tokens.weight"
    inside = {"attention": "self_attn", "mlp": "mlp.", "embedding": "embed_tokens"}
    for kind, part in inside.items():
        names = [name for name in start if part in name]
        delta = torch.cat([(one[n] - start[n]).double().flatten() for n in names])
        whole = torch.cat([start[n].double().flatten() for n in names])
        assert found.distances[kind] == pytest.approx(float(delta.norm() / whole.norm()), rel=1e-9)
    assert start[embedding].numel() <= MOST_ENTRIES
    a, b = (torch.cat([(t[n] - start[n]).double().flatten() for n in start]) for t in (one, two))
    assert found.nearest is not None
    assert found.nearest == ("two", pytest.approx(float(a @ b / a.norm() / b.norm()), abs=1e-9))


def test_of_a_large_tensor_some_rows_tell_how_far_it_is(tmp_path: Path) -> None:
    rows = 3 * MOST_ENTRIES // 64
    base = make_base(tmp_path / "base", layers=1, vocabulary=rows)
    expert = fine_tuned(base, tmp_path / "expert", seed=3, distance=0.07)
    assert traits(base=base, one=expert)["one"].distances["embedding"] == pytest.approx(0.07, rel=0.05)


def test_real_relatives_are_related_and_nothing_is_said_of_them(base: Path, expert: Path, other: Path) -> None:
    found = checked(base=base, one=expert, two=other)
    assert [each.verdict for each in found.parents] == ["related", "related"]
    assert [row.note for row in found.rows if row.property == "parents"] == [""]


def test_a_model_that_was_trained_from_another_start_is_unrelated(base: Path, expert: Path, tmp_path: Path) -> None:
    stranger = make_base(tmp_path / "stranger", seed=5)
    found = checked(base=base, one=expert, stranger=stranger)
    assert {each.name: each.verdict for each in found.parents} == {"one": "related", "stranger": "unrelated"}
    (warning,) = found.warnings
    assert "'stranger' is no fine-tuned 'base'" in warning.note


def test_a_copy_of_the_base_has_no_task_vector(base: Path, expert: Path) -> None:
    assert traits(base=base, one=expert, copy=base)["copy"].verdict == "copy"


@pytest.mark.parametrize(("times", "said"), [(1.0, "cosine 1.000)"), (0.5, "0.50 times as long"), (2.0, "2.00 times")])
def test_one_task_vector_at_any_scale_is_told_once(
    times: float, said: str, base: Path, expert: Path, other: Path, tmp_path: Path
) -> None:
    again = scaled(base, expert, tmp_path / "again", times)
    found = traits(base=base, one=expert, two=other, again=again)
    assert {name: each.verdict for name, each in found.items()} == {
        "one": "related",
        "two": "related",
        "again": "near-duplicate",
    }
    assert said in found["again"].advice


def test_a_task_vector_of_noise_is_told_from_one_of_training(base: Path, expert: Path, tmp_path: Path) -> None:
    def disturb(tensors: dict[str, Tensor]) -> None:
        generator = torch.Generator().manual_seed(1)
        for name, weight in tensors.items():
            noise = torch.randn(weight.shape, generator=generator)
            tensors[name] = weight + noise * (0.05 * weight.norm() / noise.norm())

    noise = altered(base, tmp_path / "noise", disturb)
    found = checked(base=base, one=expert, noise=noise)
    assert {each.name: each.verdict for each in found.parents} == {"one": "related", "noise": "noise"}
    assert not found.warnings


@pytest.mark.parametrize("lock", LOCKS)
def test_a_locked_expert_works_as_before_and_is_refused(lock: str, base: Path, expert: Path, tmp_path: Path) -> None:
    locked = altered(expert, tmp_path / "locked", LOCKS[lock])
    torch.testing.assert_close(logits(locked), logits(expert), rtol=1e-3, atol=1e-4)
    found = checked(base=base, expert=expert, locked=locked)
    assert {each.name: each.verdict for each in found.parents} == {"expert": "related", "locked": "locked"}
    assert f"'locked' is locked: {lock} differ" in found.parents[1].advice
    with pytest.raises(SpaceError, match=r"its author does not want it merged(.|\n)*allow_differences: \[locked\]"):
        found.raise_for_errors()


def test_a_locked_parent_is_let_through_where_it_is_allowed(base: Path, expert: Path, tmp_path: Path) -> None:
    locked = altered(expert, tmp_path / "locked", LOCKS["v and o"])
    found = checked(("locked",), base=base, locked=locked)
    found.raise_for_errors()
    assert [row.property for row in found.warnings] == ["parents"]


@pytest.mark.parametrize("distance", [0.2, 0.8])
def test_long_honest_training_is_no_lock(distance: float, base: Path, tmp_path: Path) -> None:
    trained = fine_tuned(base, tmp_path / "trained", seed=4, distance=distance)
    assert traits(base=base, trained=trained)["trained"].verdict in ("related", "far")


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # of peft
def test_an_adapter_is_related_and_its_untouched_tensors_are_not_far(base: Path, expert: Path, tmp_path: Path) -> None:
    adapter = save_adapter(base, tmp_path / "adapter")
    found = traits(base=base, one=expert, adapter=adapter)["adapter"]
    assert found.verdict == "related"
    assert found.distances["embedding"] == 0.0
    assert found.distances["attention"] > 0.0


def test_fused_projections_are_compared_but_not_judged_for_locks(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=49, n_positions=32, n_embd=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2)
    base = save_model(tmp_path / "base", GPT2LMHeadModel(config))
    trained = fine_tuned(base, tmp_path / "trained", seed=1, distance=0.4)
    found = measure(Parents.open(sources({"base": base, "trained": trained}), base="base").checkpoints, "base")
    assert found.distances("trained")["attention"] == pytest.approx(0.4, rel=0.05)
    assert "v and o" not in found.locks.get("trained", SimpleNamespace(pairs={})).pairs


def test_what_was_measured_once_is_read_again_and_changed_files_are_measured(base: Path, tmp_path: Path) -> None:
    expert = fine_tuned(base, tmp_path / "expert", seed=11)
    before = set(cache_directory("digests").glob("*.kinship.json"))
    first = traits(base=base, one=expert)
    (kept,) = set(cache_directory("digests").glob("*.kinship.json")) - before
    said = json.loads(kept.read_text())
    kept.write_text(json.dumps(said | {"copies": ["one"]}))
    assert traits(base=base, one=expert)["one"].verdict == "copy"
    kept.write_text("{")
    assert traits(base=base, one=expert) == first
    moved = fine_tuned(base, tmp_path / "moved", seed=12)
    assert traits(base=base, one=moved)["one"].verdict == "related"


def test_a_single_number_such_as_clip_s_logit_scale_is_compared(tmp_path: Path) -> None:
    from transformers import CLIPConfig, CLIPModel

    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={"vocab_size": 64, **small},
        vision_config={"image_size": 8, "patch_size": 4, **small},
        projection_dim=8,
    )
    model = CLIPModel(config)
    model.save_pretrained(tmp_path / "one")
    model.logit_scale.data += 0.5
    model.save_pretrained(tmp_path / "other")
    paths = {"base": tmp_path / "one", "other": tmp_path / "other"}
    found = measure(Parents.open(sources(paths), base="base").checkpoints, "base")
    assert sum(row[0][0] for row in found.products.values()) == pytest.approx(0.25)
