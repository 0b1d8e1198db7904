"""Which mode a model is run in, also where half precision rounds its log-likelihoods."""

import pytest
import torch
import transformers

from fitness.engine.model.forward import kind_of
from fitness.engine.scoring.probe import Sizing, exact_mode
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


def test_what_flex_attention_fails_on_is_run_without_it_from_then_on(caplog: pytest.LogCaptureFixture) -> None:
    model, sizing, tried = model_of("llama"), Sizing(50, None), []
    sizing._modes[kind_of(model)] = "flex"  # as a GPU's probe finds

    def attempt(_: torch.nn.Module) -> str:
        tried.append(sizing.mode(model, tuple))
        if tried[-1] == "flex":
            raise RuntimeError("no kernel is left")
        return "done"

    assert sizing.in_passes_that_fit(model, attempt) == sizing.in_passes_that_fit(model, attempt) == "done"
    assert tried == ["flex", "packed", "packed"]
    assert len([message for message in caplog.messages if "no kernel is left" in message]) == 1
    with pytest.raises(RuntimeError, match="another"):
        sizing.in_passes_that_fit(model, lambda _: (_ for _ in ()).throw(RuntimeError("another")))
