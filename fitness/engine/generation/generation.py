"""Completes prompts in the fastest way that is exact for a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from fitness.engine.generation.packed_generation import PackedCompletions
from fitness.engine.generation.padded_generation import padded_completions
from fitness.engine.generation.prompt_trie import PromptTrie
from fitness.engine.model.memory import Sizes
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.scoring.layout import Mode
from fitness.engine.scoring.windows import Prompt, Window


class Generation:
    """Prompts in blocks, made ready once for any model that uses the tokenizer.

    Args:
        blocks: prompts; a caller that stops after a block has run none of a later one.
        tokenizer: the models'.
    """

    def __init__(self, blocks: Sequence[Sequence[Prompt]], tokenizer: Tokenizer) -> None:
        self._blocks = blocks
        self._tokenizer = tokenizer
        self._trie: PromptTrie | None = None

    def run(self, model: nn.Module, mode: Mode, sizes: Sizes) -> Iterator[list[str]]:
        """Yield each block's completions as soon as they are there.

        Raises:
            FitnessError: the model's logits are not finite.
            torch.OutOfMemoryError: a forward pass does not fit in memory.
        """
        if mode == "packed":
            self._trie = self._trie or PromptTrie(self._blocks)
            yield from PackedCompletions(model, self._trie, sizes, self._tokenizer)
        else:
            for block in self._blocks:
                yield padded_completions(model, block, sizes, self._tokenizer)

    def windows(self) -> list[Window]:
        """Return windows on which to try how a model can be run: prompts, as long as they may become."""
        windows = []
        for prompt in (prompt for block in self._blocks for prompt in block):
            length = len(prompt.ids) + prompt.max_new_tokens
            ids = (prompt.ids * -(-length // len(prompt.ids)))[:length]
            windows.append(Window.predicting(ids, ids[:1]))
        return windows
