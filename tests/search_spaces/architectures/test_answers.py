"""What every architecture is said to be, asked on the meta device: quick enough for all of them."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from torch import nn

from search_spaces.architecture.reading import read_architecture
from tests.search_spaces.architectures.families import FAMILIES
from tests.search_spaces.architectures.models import Family, embedding_of
from tests.search_spaces.architectures.tiny import tiny_config

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.kind)
def test_stacks_embedding_and_head_are_those_of_the_module(family: Family) -> None:
    config = tiny_config(family.model_type, family.settings)
    with torch.device("meta"):
        module = getattr(transformers, family.kind)(config)
    said = {**json.loads(config.to_json_string(use_diff=False)), "architectures": [family.kind]}
    found = read_architecture(said, {name: tuple(value.shape) for name, value in module.state_dict().items()})
    assert (found.guessed, found.unused) == ("", frozenset())
    assert list(found.depths.items()) == list(family.stacks.items())
    embedding, head = embedding_of(module), module.get_output_embeddings()
    assert _is(module, found.embedding, embedding)
    assert found.has_head == (head is not None)
    assert _is(module, found.head, head)


def _is(module: nn.Module, name: str | None, part: nn.Module | None) -> bool:
    if name is None or part is None:
        return name is None and part is None
    return module.state_dict(keep_vars=True)[name] is part.weight
