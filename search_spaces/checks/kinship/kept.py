"""Measures of parents, kept on disk beside the digests of their files: what was measured once is read again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache

from pydantic import TypeAdapter, ValidationError

from search_spaces.cache_directory import cache_directory, keep_text
from search_spaces.checks.kinship.measures import Kinship, key_of, measure
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.content import content_digest, file_digests


def kinship_of(checkpoints: Mapping[str, Checkpoint], base: str, options: object = None) -> Kinship:
    """Return the parents' kinship, measured where it is not kept; the digests of all their files are known then.

    `options` is what else the checkpoints' tensors follow from, such as a vocabulary that they share.
    """
    for checkpoint in checkpoints.values():
        file_digests(checkpoint)
    digests = {name: content_digest(checkpoint) for name, checkpoint in checkpoints.items()}
    file = cache_directory("digests") / f"{key_of(checkpoints, digests, [base, options])}.kinship.json"
    with contextlib.suppress(OSError, ValidationError, ValueError):
        return _adapter().validate_json(file.read_bytes(), strict=False)
    found = measure(checkpoints, base)
    with contextlib.suppress(OSError):  # it only saves time
        keep_text(file, json.dumps(asdict(found)))
    return found


@cache
def _adapter() -> TypeAdapter[Kinship]:
    return TypeAdapter(Kinship)
