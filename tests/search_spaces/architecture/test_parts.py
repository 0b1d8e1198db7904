"""Parts of fused weights are those that transformers saves, and cost no memory however large the weights are."""

import math

import pytest
import torch
import transformers

from search_spaces.architecture.parts import checkpoint_parts, checkpoint_tensors
from tests.search_spaces.architectures.tiny import tiny_config


@pytest.mark.parametrize(
    ("kind", "model_type"), [("Qwen3MoeForCausalLM", "qwen3_moe"), ("MixtralForCausalLM", "mixtral")]
)
def test_they_are_the_tensors_that_are_saved(kind: str, model_type: str, tmp_path) -> None:
    model = getattr(transformers, kind)(tiny_config(model_type, {}))
    model.save_pretrained(tmp_path)
    from safetensors.torch import load_file

    saved, found = load_file(tmp_path / "model.safetensors"), checkpoint_tensors(model)
    assert saved.keys() <= found.keys()
    assert len(saved) > len(model.state_dict())
    for name, tensor in saved.items():
        assert found[name].equal(tensor), name


def test_a_weight_that_no_machine_could_hold_is_told_in_parts() -> None:
    settings = {"hidden_size": 2**20, "moe_intermediate_size": 2**18, "num_local_experts": 128, "num_hidden_layers": 1}
    with torch.device("meta"):
        model = transformers.Qwen3MoeForCausalLM(tiny_config("qwen3_moe", settings))
    [key] = [name for name in model.state_dict() if name.endswith("experts.gate_up_proj")]
    parts = checkpoint_parts(model, [key])[key]
    assert len(parts) == 256
    assert sum(math.prod(part.shape) for part in parts) == 128 * 2 * 2**18 * 2**20
    assert {part.shape for part in parts} == {(2**18, 2**20)}
    assert len({part.offset for part in parts}) == 256
