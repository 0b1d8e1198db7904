"""Models put together of two others, each with settings of its own: what ties a head to its embedding stands there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml

import evomerge as em
from tests.search_spaces.architectures.models import between, stirred

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def seeing() -> Any:
    sees = transformers.ViTConfig(image_size=8, patch_size=4, **SMALL)
    ids = {"bos_token_id": 1, "eos_token_id": 2}
    writes = transformers.GPT2Config(vocab_size=61, n_embd=16, n_layer=2, n_head=2, n_positions=32, **ids)
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(sees, writes)
    return transformers.VisionEncoderDecoderModel(config=config)


def reading() -> Any:
    reads = transformers.BertConfig(vocab_size=61, **SMALL)
    writes = transformers.BertConfig(vocab_size=61, is_decoder=True, add_cross_attention=True, **SMALL)
    config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(reads, writes)
    return transformers.EncoderDecoderModel(config=config)


@pytest.mark.parametrize("make", [seeing, reading])
def test_a_decoder_with_a_tied_head_is_merged_and_the_config_stays_as_it_was(
    make: Callable[[], Any], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    models = [stirred(make()) for _ in "ab"]
    for model, name in zip(models, "ab", strict=True):
        model.save_pretrained(tmp_path / name)
    listed = [{"model": str(tmp_path / name), "parameters": {"weight": 0.5}} for name in "ab"]
    (tmp_path / "merge.yml").write_text(yaml.safe_dump({"merge_method": "linear", "models": listed}))
    out = em.merge(tmp_path / "merge.yml", tmp_path / "out").directory
    written, before = (json.loads((path / "config.json").read_text()) for path in (out, tmp_path / "a"))
    assert written == {**before, "dtype": "float32"}
    merged, told = type(models[0]).from_pretrained(out, output_loading_info=True)
    assert not any(told.values())
    torch.testing.assert_close(merged.state_dict(), between(*models, 0.5).state_dict())
