"""Digests of what checkpoints contain."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from search_spaces.errors import SpaceError
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.content import content_digest, file_digest
from search_spaces.recipes.recipe import ParentSource
from tests.conftest import Family


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOMERGE_CACHE", str(tmp_path / "cache"))


def digest_of(directory: Path) -> str:
    return content_digest(Checkpoint.open(ParentSource(str(directory))))


def test_copies_have_one_digest_and_other_weights_another(family: Family, tmp_path: Path) -> None:
    copy = shutil.copytree(family.base, tmp_path / "copy")
    assert digest_of(family.base) == digest_of(copy)
    assert len({digest_of(parent) for parent in family.parents.values()}) == 3


def test_a_changed_file_is_hashed_again_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one")
    assert file_digest(file) == hashlib.sha256(b"one").hexdigest()
    state = file.stat()
    file.write_bytes(b"two")
    assert file_digest(file) == hashlib.sha256(b"two").hexdigest()
    file.write_bytes(b"six")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))  # as it was: the digest is the kept one
    assert file_digest(file) == hashlib.sha256(b"one").hexdigest()


def test_where_nothing_can_be_kept_it_is_hashed_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one")
    monkeypatch.setenv("EVOMERGE_CACHE", str(file))
    assert file_digest(file) == hashlib.sha256(b"one").hexdigest()
    with pytest.raises(SpaceError, match="expected a readable file, found: No such file"):
        file_digest(tmp_path / "none")
