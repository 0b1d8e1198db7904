"""Models that cannot be asked in text say so before anything is run."""

from pathlib import Path

import pytest

from search_spaces.layers.architecture import why_no_text
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.recipes.recipe import ParentSource
from tests.search_spaces.architectures.families import FAMILIES
from tests.search_spaces.architectures.models import build


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("Blip2ForConditionalGeneration", "cannot be run without pixel_values"),
        ("WhisperForConditionalGeneration", "reads input_features, not text"),
        ("ViTForImageClassification", "has no head that predicts the next token"),
        ("LlavaForConditionalGeneration", ""),
    ],
)
def test_the_class_s_own_needs_are_the_reason(kind: str, reason: str, tmp_path: Path) -> None:
    [family] = [family for family in FAMILIES if family.kind == kind]
    build(family, 0).save_pretrained(tmp_path)
    assert why_no_text(Checkpoint.open(ParentSource(str(tmp_path)))) == (f"{kind} {reason}" if reason else "")
