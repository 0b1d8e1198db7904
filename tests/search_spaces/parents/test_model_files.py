from __future__ import annotations

import pytest

from search_spaces.parents.checkpoint_files import _WANTED

TAKEN = [
    "model.safetensors",
    "model-00001-of-00002.safetensors",
    "model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model-00001-of-00002.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "LICENSE",
    "LICENSE.txt",
    "NOTICE",
    "modeling_foo.py",
]
LEFT = [
    "pytorch_model.bin",
    "consolidated.safetensors",
    "model.fp16.onnx",
    "diffusion_pytorch_model.fp16.safetensors",
    "onnx/model.onnx",
    "README.md",
    "training_args.bin",
]


@pytest.mark.parametrize("name", TAKEN + LEFT)
def test_of_the_hub_s_files_those_of_a_model_are_downloaded(name: str) -> None:
    from huggingface_hub.utils import filter_repo_objects

    assert list(filter_repo_objects([name], allow_patterns=list(_WANTED))) == ([name] if name in TAKEN else [])
