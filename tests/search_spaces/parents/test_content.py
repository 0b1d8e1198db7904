"""Digests of what checkpoints contain."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from pathlib import Path

import pytest

from search_spaces.errors import SpaceError
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.content import commit_of, content_digest, file_digest, file_digests
from search_spaces.recipes.recipe import ParentSource
from tests.conftest import Family


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOMERGE_CACHE", str(tmp_path / "cache"))


def digest_of(directory: Path) -> str:
    return content_digest(Checkpoint.open(ParentSource(str(directory))))


def kept(cache: Path) -> list[Path]:
    return sorted((cache / "digests").glob("*"))


def settled(file: Path, content: bytes) -> Path:
    """Write a file, and wait until its time of change is past."""
    file.write_bytes(content)
    time.sleep(0.12)
    return file


def test_copies_have_one_digest_and_other_weights_another(family: Family, tmp_path: Path) -> None:
    copy = shutil.copytree(family.base, tmp_path / "copy")
    assert digest_of(family.base) == digest_of(copy)
    assert len({digest_of(parent) for parent in family.parents.values()}) == 3


def test_weights_config_and_tokenizer_have_a_digest_each_and_a_licence_has_none(family: Family, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(family.base, tmp_path / "copy"))
    (copy / "LICENSE").write_text("free")
    found = file_digests(Checkpoint.open(ParentSource(str(copy))))
    assert set(found) == {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"}
    for name, digest in found.items():
        assert digest == hashlib.sha256((copy / name).read_bytes()).hexdigest()


def test_an_unchanged_file_is_read_once(tmp_path: Path) -> None:
    file = settled(tmp_path / "file", b"one")
    file_digest(file)
    [entry] = kept(tmp_path / "cache")
    entry.write_text("f" * 64)  # what is kept is believed
    assert file_digest(file) == "f" * 64
    entry.write_text("torn")
    assert file_digest(file) == hashlib.sha256(b"one").hexdigest()


def test_a_changed_file_is_read_again_though_its_size_and_time_are_set_back(tmp_path: Path) -> None:
    file = settled(tmp_path / "file", b"one")
    assert file_digest(file) == hashlib.sha256(b"one").hexdigest()
    state = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert file_digest(file) == hashlib.sha256(b"two").hexdigest()


def test_the_digest_of_a_file_that_changed_a_moment_ago_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"one")
    assert file_digest(tmp_path / "file") == hashlib.sha256(b"one").hexdigest()
    assert not kept(tmp_path / "cache")


def test_where_nothing_can_be_kept_it_is_hashed_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one")
    monkeypatch.setenv("EVOMERGE_CACHE", str(file))
    assert file_digest(file) == hashlib.sha256(b"one").hexdigest()
    with pytest.raises(SpaceError, match="expected a readable file, found: No such file"):
        file_digest(tmp_path / "none")


def test_only_a_snapshot_of_the_hubs_cache_has_a_commit(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    assert commit_of(tmp_path / "models--a--b" / "snapshots" / commit) == commit
    assert commit_of(tmp_path / "snapshots" / "main") is None
    assert commit_of(tmp_path / commit) is None
