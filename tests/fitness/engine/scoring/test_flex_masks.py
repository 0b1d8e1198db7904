"""The tree's mask by flex_attention, which GPUs run: windows, caps and grouped heads give the scores of plain rows."""

from __future__ import annotations

import pytest
import torch
import transformers

from fitness.engine.language_model import LogLikelihood
from fitness.engine.scoring.packed import PackedLayout
from fitness.engine.scoring.readout import Layout
from fitness.engine.scoring.rows import RowLayout
from fitness.engine.scoring.windows import Window
from tests.fitness.engine.architectures import CONFIGS

WINDOWS = [
    Window.predicting((*(7 * j % 50 for j in range(30)), *(i + j % 3 for j in range(12))), (3, 5)) for i in range(1, 8)
]


def values(layout: Layout, model: torch.nn.Module) -> list[float]:
    reading = layout.readout.start()
    layout.run(model, reading)
    answers = [layout.readout.answer(i, reading) for i in range(len(WINDOWS))]
    return [answer.value for answer in answers if isinstance(answer, LogLikelihood)]


@pytest.mark.parametrize("kind", ["llama", "mistral", "gemma2"])
def test_scores_are_those_of_plain_rows_and_masks_are_made_once(kind: str) -> None:
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[kind](vocab_size=50)).eval()
    layout = PackedLayout.of_windows(WINDOWS, chunk_size=40, multiple=16, flex=True)
    plain = values(RowLayout(WINDOWS, chunk_size=200, most_reads=50, share_prefix=False), model)
    assert values(layout, model) == pytest.approx(plain, abs=1e-4)
    n_made = layout.ready.n_made
    assert n_made == len(layout.chunks) > 1
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    plain = values(RowLayout(WINDOWS, chunk_size=200, most_reads=50, share_prefix=False), model)
    assert values(layout, model) == pytest.approx(plain, abs=1e-4)
    assert layout.ready.n_made == n_made


def test_what_no_longer_fits_is_made_for_each_model() -> None:
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS["llama"](vocab_size=50)).eval()
    layout = PackedLayout.of_windows(WINDOWS, chunk_size=20)
    expected = values(layout, model)
    small = PackedLayout.of_windows(WINDOWS, chunk_size=20)
    small.ready = type(small.ready)(small.trie, small.readout.spots, multiple=1, memory=1500)
    assert values(small, model) == values(small, model) == expected
    assert len(small.chunks) < small.ready.n_made < 2 * len(small.chunks)
