"""Which mode a model is run in, also where half precision rounds its log-likelihoods."""

import pytest
import torch
import transformers

from fitness.engine.scoring.probe import exact_mode
from fitness.engine.scoring.readout import Mode
from fitness.engine.scoring.windows import Window
from tests.fitness.engine.architectures import CONFIGS


def model_of(kind: str) -> torch.nn.Module:
    """Return a random model whose log-likelihoods are tens of nats, as a real model's are."""
    torch.manual_seed(0)
    config = CONFIGS[kind](vocab_size=50, initializer_range=0.3, tie_word_embeddings=False)
    model: torch.nn.Module = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(4.0)  # type: ignore[operator]
    return model


@pytest.mark.parametrize(("kind", "mode"), [("llama", "packed"), ("gpt2", "packed"), ("bloom", "prefix")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_half_precision_changes_no_mode(kind: str, mode: Mode, dtype: torch.dtype) -> None:
    windows = [Window.predicting(tuple((7 * i + j * j) % 50 for j in range(20 + i)), (1,)) for i in range(6)]
    assert exact_mode(model_of(kind).to(dtype), windows) == mode
