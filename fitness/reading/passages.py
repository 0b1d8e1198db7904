"""Prompts and what a parent writes after them, as tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fitness.engine.language_model import Completion
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.trie import TrieLanguageModel
from fitness.errors import FitnessError
from fitness.screening.experts import Prompt

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Passage:
    """Tokens that a parent reads.

    Attributes:
        ids: at least one token.
        n_prompt: how many of them were given; 0 for a text, which counts as if the parent had written it.
    """

    ids: tuple[int, ...]
    n_prompt: int = 0

    @property
    def written(self) -> tuple[int, ...]:
        """The tokens after the prompt."""
        return self.ids[self.n_prompt :]


def write_answers(language_model: TrieLanguageModel, model: nn.Module, prompts: Sequence[Prompt]) -> list[str]:
    """Return what a model writes after each prompt, greedily; nothing after a text, or where it ends at once."""
    asked = [prompt for prompt in prompts if isinstance(prompt, Completion)]
    written = iter(language_model.plan(asked).answer(model) if asked else [])
    answers = [str(next(written)) if isinstance(prompt, Completion) else "" for prompt in prompts]
    return [answer if answer.strip() else "" for answer in answers]


def write_passages(language_model: TrieLanguageModel, model: nn.Module, prompts: Sequence[Prompt]) -> list[Passage]:
    """Let a model continue prompts greedily; texts are taken as they are.

    Raises:
        FitnessError: a text has no token, or the model's outputs are not finite.
    """
    answers = write_answers(language_model, model, prompts)
    return [_passage(language_model.tokenizer, p, answer) for p, answer in zip(prompts, answers, strict=True)]


def _passage(tokenizer: Tokenizer, prompt: Prompt, answer: str) -> Passage:
    if isinstance(prompt, Completion) and answer:
        before, after = tokenizer.encode_pair(prompt.prompt, answer)
        ids = (*before, *after)[-tokenizer.max_length :]
        return Passage(ids, max(0, len(ids) - len(after)))
    text = prompt.prompt if isinstance(prompt, Completion) else prompt.text
    ids = tuple(tokenizer.encode(text)[-tokenizer.max_length :])
    if not ids:
        raise FitnessError(f"statistics: expected at least one token in {text[:40]!r}, found none")
    return Passage(ids, len(ids) if isinstance(prompt, Completion) else 0)
