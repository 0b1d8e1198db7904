"""The pass over passages: through the token trie, each node once, or in padded rows where that is not exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fitness.engine.model.forward import device_of, logits_at, without_cache
from fitness.engine.scoring.packing import chunks
from fitness.engine.scoring.readout import PACKED
from fitness.engine.scoring.rows import pack
from fitness.engine.scoring.token_trie import build_trie
from fitness.engine.scoring.tree_attention import TreeAttention, TreeMasks, tree_blocks
from fitness.engine.scoring.windows import Window
from fitness.engine.trie import TrieLanguageModel
from fitness.reading.passages import Passage

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fitness.engine.scoring.tree_attention import KeysAndValues

Note = Callable[["Tensor"], None]


class PassageReader:
    """Runs a model over passages, and says before each forward pass what its tokens stand for."""

    def __init__(self, language_model: TrieLanguageModel, passages: Sequence[Passage]) -> None:
        """Prepare nothing yet; how models of a kind are run is found on the first (`Sizing`)."""
        self._sizing = language_model.sizing
        self._passages = tuple(passages)

    def prepare(self, model: nn.Module) -> None:
        """Find out how models of a kind are run, which runs them on a few tokens, before a pass is watched."""
        self._sizing.mode(model, self._windows)
        self._sizing.sizes(model)

    def __call__(self, model: nn.Module, note: Note) -> None:
        """Run every passage once, without gradients; what logits there are, is thrown away.

        Before each pass `note` is given (n_tokens,) int64 on the model's device: how often each token of the pass, in
        the flattened order of the module's input, occurs in the passages; 0 for padding.
        """
        model.eval()
        if self._sizing.mode(model, self._windows) in PACKED:
            self._read_trie(model, note)
        else:
            self._read_rows(model, note)

    def losses(self, model: nn.Module) -> Iterator[Tensor]:
        """Yield each passage's mean negative log-likelihood of what was written, in nats a token, with its graph.

        A passage with nothing written counts as if all of it had been; one of a single token has no loss.
        """
        import torch
        from torch.nn.functional import cross_entropy

        model.eval()
        for passage in self._passages:
            first = max(1, passage.n_prompt if passage.written else 1)
            if len(passage.ids) == 1:
                continue
            ids = torch.tensor([passage.ids], device=device_of(model))
            logits = logits_at(model, ids, torch.arange(first - 1, ids.shape[1] - 1), **without_cache(model))
            yield cross_entropy(logits.float(), ids[0, first:])

    def logits_after_prompts(self, model: nn.Module) -> Tensor:
        """Return (n_passages, n_vocabulary) float32 on the CPU: the logits after each prompt, or at a text's end."""
        import torch

        model.eval()
        rows = []
        for passage in self._passages:
            ids = torch.tensor([passage.ids[: passage.n_prompt or None]], device=device_of(model))
            with torch.no_grad():
                rows.append(logits_at(model, ids, torch.tensor([ids.shape[1] - 1]), **without_cache(model)))
        return torch.cat(rows).float().cpu()

    def _windows(self) -> list[Window]:
        return [Window.predicting(passage.ids, passage.ids[:1]) for passage in self._passages]

    def _read_trie(self, model: nn.Module, note: Note) -> None:
        import torch

        from fitness.engine.model.attention import attending

        ids = [np.array(passage.ids, dtype=np.int64) for passage in self._passages]
        trie, nodes = build_trie(ids, [np.arange(len(one)) for one in ids])
        counts = np.bincount(np.concatenate(nodes), minlength=len(trie)).astype(np.int64)  # (n_nodes,)
        device, kept = device_of(model), dict[int, "KeysAndValues"]()
        for chunk in chunks(trie, size=self._sizing.sizes(model).tokens):
            keep = torch.from_numpy(chunk.keep).to(device)
            attention = TreeAttention(TreeMasks(tree_blocks(trie, chunk, device)), keep, kept)
            tokens, depths, times = (
                torch.from_numpy(values[chunk.nodes]).to(device) for values in (trie.tokens, trie.depths, counts)
            )
            note(times)
            with torch.no_grad(), attending(model, attention):
                _run(model, tokens[None], position_ids=depths[None])
            kept = attention.kept

    def _read_rows(self, model: nn.Module, note: Note) -> None:
        import torch

        # A causal model's states do not depend on what follows: rows are padded with their last token, unmasked.
        times = Counter(passage.ids for passage in self._passages)
        rows = sorted(times, key=lambda ids: (-len(ids), ids))
        for batch in pack(
            [(len(ids), 0) for ids in rows], token_budget=self._sizing.sizes(model).tokens, position_budget=1
        ):
            members = [rows[i] for i in batch]
            length = len(members[0])
            padded = torch.tensor([[*ids, *ids[-1:] * (length - len(ids))] for ids in members])
            counts = torch.tensor([[times[ids]] * len(ids) + [0] * (length - len(ids)) for ids in members])
            device = device_of(model)
            note(counts.flatten().to(device))
            with torch.no_grad():
                _run(model, padded.to(device))


def _run(model: nn.Module, ids: Tensor, **arguments: Any) -> None:
    nowhere = ids.new_zeros(0)
    logits_at(model, ids, nowhere, **arguments, **without_cache(model))
