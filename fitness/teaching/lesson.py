"""One item that is learnt from, and the losses on several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from fitness.engine.language_model import Request, run_for
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.scoring.windows import Prompt, Window, tokenise
from fitness.tasks.labels import Labelled
from fitness.teaching.teachers import Taught


@dataclass(frozen=True)
class Lesson:
    """What is read on one item."""

    windows: tuple[Window, ...]  # along an expert's answer; or the right one, or all choices
    taught: Taught | None = None  # what the expert says there; None where nobody is compared with
    gold: int | None = None  # which choice is right; None where there are no choices

    @property
    def n_places(self) -> int:
        """How many next-token distributions are read."""
        return sum(len(window.places) for window in self.windows)

    @property
    def length(self) -> int:
        """Of the longest window, in tokens."""
        return max(len(window.inputs) for window in self.windows)


def windows_of(request: Request, tokenizer: Tokenizer) -> tuple[Window, ...]:
    """Return where a request that is no completion is read."""
    parts = tokenise(run_for(request), tokenizer)
    assert not isinstance(parts, Prompt)
    return tuple(parts)


def labelled_lesson(label: Labelled, tokenizer: Tokenizer) -> Lesson:
    """Return what is read of an item with a right answer."""
    windows = tuple(window for choice in label.choices for window in windows_of(choice, tokenizer))
    return Lesson(windows, gold=label.gold if len(label.choices) > 1 else None)


def in_passes(lessons: Mapping[str, Lesson], tokens: int) -> Iterator[list[str]]:
    """Yield the items of each forward pass, longest first: at most `tokens` tokens with padding, or one item."""
    batch: list[str] = []
    n_rows, longest = 0, 0
    for item in sorted(lessons, key=lambda item: -lessons[item].length):
        n_rows += len(lessons[item].windows)
        longest = max(longest, lessons[item].length)
        if batch and n_rows * longest > tokens:
            yield batch
            batch, n_rows, longest = [], len(lessons[item].windows), lessons[item].length
        batch.append(item)
    if batch:
        yield batch


def likelihood_losses(logits: Tensor, lessons: Sequence[Lesson]) -> Tensor:
    """Return each item's loss in nats, (n_items,), of the logits at its windows' places, one after the other.

    Of choices: minus the log of the right one's share in the sum of all choices' likelihoods. Else: minus the mean
    log-likelihood of the answer's tokens.
    """
    windows = [window for lesson in lessons for window in lesson.windows]
    targets = torch.tensor([t for window in windows for t in window.targets or ()], device=logits.device)
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    of_token = cross_entropy(precise, targets, reduction="none")
    of_window = iter(torch.split(of_token, [len(window.places) for window in windows]))
    losses = []
    for lesson in lessons:
        parts = [next(of_window) for _ in lesson.windows]
        if lesson.gold is None:
            losses.append(torch.cat(parts).mean())
        else:
            losses.append(-torch.log_softmax(-torch.stack([part.sum() for part in parts]), dim=0)[lesson.gold])
    return torch.stack(losses)
