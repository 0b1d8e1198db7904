"""Runs prompts through the encoder, each once a batch, and what follows them through the decoder, as padded rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fitness.engine.encoder_decoder.requests import Pair, padded
from fitness.engine.model.forward import device_of, logits_at
from fitness.engine.scoring.readout import Reading, Readout
from fitness.engine.scoring.rows import Batch, pack
from fitness.engine.scoring.windows import Tokens


@dataclass(frozen=True)
class Encoded:
    """What the encoder made of some prompts."""

    hidden: Tensor  # (n_rows, length, width)
    mask: Tensor  # (n_rows, length) int64, 0 at padding

    def rows(self, index: Tensor) -> Encoded:
        """Return some rows, by (n,) numbers."""
        return Encoded(self.hidden[index], self.mask[index])

    @property
    def arguments(self) -> dict[str, Any]:
        """What the model's forward pass takes in the prompts' place."""
        from transformers.modeling_outputs import BaseModelOutput

        return {"encoder_outputs": BaseModelOutput(last_hidden_state=self.hidden), "attention_mask": self.mask}


def encoded(model: nn.Module, sources: Sequence[Tokens]) -> Encoded:
    """Run the encoder of a model over prompts, padded on the right, which the mask hides."""
    device = device_of(model)
    ids = torch.tensor(padded(sources, 0), device=device)
    mask = torch.tensor(padded([(1,) * len(source) for source in sources], 0), device=device)
    encoder: Any = model.get_encoder()  # type: ignore[operator]
    return Encoded(encoder(input_ids=ids, attention_mask=mask).last_hidden_state, mask)


class PairLayout:
    """Pairs as padded rows of at most `chunk_size` tokens and `most_reads` places a pass; implements `Layout`.

    A decoder's outputs do not depend on what follows: its rows are padded with their last token, without a mask.
    """

    def __init__(self, pairs: Sequence[Pair], *, chunk_size: int, most_reads: int) -> None:
        n_reads: dict[tuple[Tokens, Tokens], int] = {}
        for pair in pairs:
            row = pair.source, pair.window.inputs
            n_reads[row] = max(n_reads.get(row, 0), len(pair.window.places))
        rows = sorted(n_reads, key=lambda row: (-len(row[0]), row))
        costs = [(max(map(len, row)), n_reads[row]) for row in rows]
        self._batches: list[tuple[tuple[Tokens, ...], Batch]] = []
        first: dict[tuple[Tokens, Tokens], int] = {}
        n_spots = 0
        for batch in pack(costs, token_budget=chunk_size, position_budget=most_reads):
            members, start = sorted((rows[i] for i in batch), key=lambda row: -len(row[1])), n_spots
            for row in members:
                first[row] = n_spots
                n_spots += len(row[1])
            sources, inputs = zip(*members, strict=True)
            self._batches.append((sources, Batch((), inputs, start, n_spots)))
        windows = [pair.window for pair in pairs]
        spots = [np.array(pair.window.places) + first[pair.source, pair.window.inputs] for pair in pairs]
        self.readout = Readout.of_windows(windows, spots)

    def run(self, model: nn.Module, reading: Reading) -> None:
        """Run everything (see `Layout.run`)."""
        device = device_of(model)
        for sources, batch in self._batches:
            places = {source: place for place, source in enumerate(dict.fromkeys(sources))}
            spots = self.readout.wanted(batch.start, batch.stop)
            with torch.inference_mode():
                prompts = encoded(model, list(places))
                ids = torch.tensor([[*r, *r[-1:] * (batch.length - len(r))] for r in batch.rows], device=device)
                logits = logits_at(
                    model,
                    ids,
                    torch.from_numpy(batch.flat_positions(spots)).to(device),
                    ids_are="decoder_input_ids",
                    use_cache=False,
                    **prompts.rows(torch.tensor([places[source] for source in sources], device=device)).arguments,
                )
                reading.record(spots, logits)
