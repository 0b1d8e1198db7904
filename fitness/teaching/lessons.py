"""What a merge can learn on search items, as a loss with a graph.

The expert for a task writes a few tokens after each prompt, and the merge reads along: it is to predict what the expert
predicts, after the prompt and after each token that the expert wrote (`js`: DivMerge, arXiv 2509.02108; `kl`: DAM,
2410.08371), or it is to be sure of itself there (`entropy`: AdaMerging, 2310.02575). None of these looks at right
answers. `nll` does: the likelihood of the right answer, or of the right choice among all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from fitness.engine.language_model import Distributions, NextTokens, NextTokensAlong
from fitness.engine.model.forward import device_of
from fitness.engine.model.tokenizer import Tokenizer
from fitness.errors import FitnessError
from fitness.estimation import Objective
from fitness.screening.experts import Experts
from fitness.screening.screening import draw_prompts
from fitness.tasks.suite import TaskSuite
from fitness.teaching.curriculum import Curriculum
from fitness.teaching.divergences import divergences
from fitness.teaching.lesson import Lesson, in_passes, labelled_lesson, likelihood_losses, windows_of
from fitness.teaching.passes import logits_of
from fitness.teaching.teachers import keep

_MOST_BYTES = 4 * 2**30  # of what experts say
_AT_ONCE = 2**28  # bytes of the float32 distributions that an expert answers with at a time
_CPU_TOKENS, _GPU_TOKENS = 2048, 16384  # SmolLM2-135M keeps some 1.7 MiB for a token
_CHOSEN_ON = 16  # items of each task on which the expert for it is found


@dataclass(frozen=True)
class Teaching:
    """What is learnt, and how it is computed.

    Attributes:
        loss: "js" or "kl": divergence from the experts; "entropy" of the merge; "nll": of right answers.
        items: search items of each task, the first in the campaign's order.
        held_back: share of them that no batch holds, in [0, 1).
        temperature: T of `kl`, T² KL(softmax(z_expert/T) || softmax(z/T)); DAM's code has 2.
        likeliest: an expert's tokens that are told apart at each place, all others count as one; None: all tokens.
            The divergences are lower bounds then.
        tokens: of a forward pass, padding included; more are several passes. None: 2,048 on a CPU, 16,384 elsewhere.
        checkpointing: compute each layer's activations twice rather than keep them.
    """

    loss: Literal["js", "kl", "entropy", "nll"] = "js"
    items: int = 30
    held_back: float = 0.2
    temperature: float = 1.0
    likeliest: int | None = None
    tokens: int | None = None
    checkpointing: bool = False


class Lessons:
    """Losses on search items; no validation or test item is ever looked at.

    A loss is the mean over tasks, weighted as their objectives, of the mean over items of the mean over places.

    Args:
        suite: of the campaign.
        objectives: whose tasks are learnt.
        tokenizer: the engine's.
        experts: who is expert in what.
        teaching: what is learnt.

    Raises:
        FitnessError: no search item has a prompt.
    """

    def __init__(
        self,
        suite: TaskSuite,
        objectives: Sequence[Objective],
        *,
        tokenizer: Tokenizer,
        experts: Experts,
        teaching: Teaching = Teaching(),
    ) -> None:
        self._suite, self._tokenizer, self._experts, self._teaching = suite, tokenizer, experts, teaching
        drawn = draw_prompts(suite, objectives, len(suite.splits.items["search"]))
        of_task: dict[str, list[str]] = {}
        for item in drawn:
            of_task.setdefault(suite.task_of[item], []).append(item)
        if not of_task:
            raise FitnessError("lessons: expected search items with prompts, found none; Python tasks have no slope")
        chosen = {task: items[: teaching.items] for task, items in of_task.items()}
        self.curriculum = Curriculum.of(chosen, objectives, teaching.held_back)
        self._prompts = {item: drawn[item] for item in self.curriculum.task_of}
        self._lessons: dict[str, Lesson] = {}

    @property
    def n_bytes(self) -> int:
        """Memory of what the experts say: 2 for each place and token, or 10 for each place and likeliest token."""
        return sum(lesson.taught.n_bytes for lesson in self._lessons.values() if lesson.taught is not None)

    def learn(self, become: Callable[[str], nn.Module]) -> None:
        """Let the experts answer, unless they have; `become` returns a live model, maybe the same module each time.

        Raises:
            FitnessError: what the experts say takes more than 4 GiB, or a right answer is not known.
        """
        if self._lessons:
            return
        if self._teaching.loss == "nll":
            self._lessons = {i: labelled_lesson(self._suite.labelled(i), self._tokenizer) for i in self._prompts}
            return
        task_of = self.curriculum.task_of
        first = [item for items in self.curriculum.learnt_from.values() for item in items[:_CHOSEN_ON]]
        expert_of = self._experts.of_tasks({item: self._prompts[item] for item in first}, task_of, become)
        lessons: dict[str, Lesson] = {}
        for expert in dict.fromkeys(expert_of.values()):
            model = become(expert)
            prompts = {item: p for item, p in self._prompts.items() if expert_of[task_of[item]] == expert}
            lessons |= self._taught(model, self._experts.along(model, prompts))
            _check_memory(lessons.values(), len(self._prompts))
        self._lessons = lessons

    def batch(self, step: int, *, size: int | None = None, seed: int = 0) -> tuple[str, ...]:
        """Return the items of one step, `size` of each task (see `Curriculum.batch`)."""
        return self.curriculum.batch(step, size=size, seed=seed)

    def loss(self, model: nn.Module, items: Sequence[str]) -> Tensor:
        """Return the loss on some items in nats, a scalar with one graph through all of them.

        Raises:
            FitnessError: an item that is neither learnt from nor held back, or nobody has learnt.
        """
        return torch.stack(list(self._parts(model, items))).sum()

    def backward(self, model: nn.Module, items: Sequence[str]) -> float:
        """Propagate the loss backward, pass after pass, so that one pass's activations are in memory; return it."""
        total = 0.0
        for part in self._parts(model, items):
            torch.autograd.backward(part)
            total += float(part.detach())
        return total

    @torch.no_grad()
    def held_back_loss(self, model: nn.Module) -> float:
        """Return the loss on the items held back, without a graph; on all where none are."""
        held = [item for items in self.curriculum.held_back.values() for item in items]
        return sum(float(part) for part in self._parts(model, held or list(self._prompts)))

    def _parts(self, model: nn.Module, items: Sequence[str]) -> Iterator[Tensor]:
        """Yield the loss in parts that sum to it, one for each forward pass."""
        weight_of = self.curriculum.weight_of(items)
        if not self._lessons:
            raise FitnessError("lessons: expected answers of the experts before, found none; call learn")
        model.eval()
        for batch in in_passes({item: self._lessons[item] for item in weight_of}, self._tokens(model)):
            lessons = [self._lessons[item] for item in batch]
            windows = [window for lesson in lessons for window in lesson.windows]
            values = self._of_items(logits_of(model, windows, checkpointing=self._teaching.checkpointing), lessons)
            weights = [weight_of[item] for item in batch]
            yield (values * torch.tensor(weights, dtype=values.dtype, device=values.device)).sum()

    def _tokens(self, model: nn.Module) -> int:
        if self._teaching.tokens is not None:
            return self._teaching.tokens
        return _CPU_TOKENS if device_of(model).type == "cpu" else _GPU_TOKENS

    def _of_items(self, logits: Tensor, lessons: Sequence[Lesson]) -> Tensor:
        """Return the loss on each item, (n_items,)."""
        if self._teaching.loss == "nll":
            return likelihood_losses(logits, lessons)
        taught = [lesson.taught for lesson in lessons if lesson.taught is not None]
        values = divergences(logits, taught, self._teaching.loss, self._teaching.temperature)
        of_item = torch.split(values, [lesson.n_places for lesson in lessons])
        return torch.stack([part.mean() for part in of_item])

    def _taught(self, expert: nn.Module, asked: Mapping[str, NextTokens | NextTokensAlong]) -> dict[str, Lesson]:
        windows = {item: windows_of(request, self._tokenizer) for item, request in asked.items()}
        if self._teaching.loss == "entropy":
            return {item: Lesson(own) for item, own in windows.items()}
        widest = max(len(window.places) for own in windows.values() for window in own)
        step = max(1, _AT_ONCE // (4 * self._tokenizer.n_tokens * widest))
        temperature = self._teaching.temperature if self._teaching.loss == "kl" else 1.0
        lessons, wanted = {}, list(asked)
        for start in range(0, len(wanted), step):
            part = wanted[start : start + step]
            for item, answer in zip(part, self._experts.answers(expert, [asked[i] for i in part]), strict=True):
                assert isinstance(answer, Distributions)
                lessons[item] = Lesson(windows[item], keep(answer, temperature, self._teaching.likeliest))
            _check_memory(lessons.values(), len(wanted))
        return lessons


def _check_memory(lessons: Collection[Lesson], n_items: int) -> None:
    """Check what experts have said so far, and will have said of all items if they go on like this."""
    known = sum(lesson.taught.n_bytes for lesson in lessons if lesson.taught is not None)
    needed = known / len(lessons) * n_items
    if needed > _MOST_BYTES:
        raise FitnessError(
            f"lessons: expected experts' predictions of at most {_MOST_BYTES / 2**30:.0f} GiB, found "
            f"{needed / 2**30:.1f} GiB for {n_items} items; take fewer items, or tell the 64 likeliest tokens apart"
        )
