"""How far a candidate's next-token distributions are from those of an expert for the task; needs no right answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from fitness.engine.language_model import Answer, Distributions, NextTokens, NextTokensAlong, Request
from fitness.errors import FitnessError
from fitness.tasks.benchmark_split import PublishedTestSet
from fitness.tasks.choice_metrics import shown
from fitness.tasks.contents import content
from fitness.tasks.task_source import JS_DIVERGENCE

TEXT_POSITIONS = 32  # of a text without a question; evenly spaced
_BYTES = 2 + 4  # per probability: the expert's kept as float16, a candidate's in float32 while it is scored
_MAX_BYTES = 4 * 2**30

Floats = NDArray[np.float32]


class DivergenceTask:
    """Prompts where candidates are compared with an expert; a `ScorableTask` that must first learn from the expert.

    An item's score is minus the mean Jensen-Shannon divergence at the item's positions, in [-log 2, 0]; DivMerge
    (arXiv 2509.02108) minimises the sum of these divergences over the tasks. `published` is the benchmark's test set
    that the prompts are from; None where they are from none. `asks`: what items ask (see `contents`); `group_of`: which
    of them come together (see `groups`).
    """

    def __init__(
        self,
        name: str,
        prompts: Mapping[str, Sequence[NextTokens | NextTokensAlong]],
        *,
        expert: str,
        published: PublishedTestSet | None = None,
        asks: Mapping[str, str] | None = None,
        group_of: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        for item, requests in prompts.items():
            if not all(request.text for request in requests):
                raise FitnessError(
                    f"item '{name}/{item}': expected a prompt after which {JS_DIVERGENCE} compares, found none"
                )
        self.name = name
        self.metric = shown(JS_DIVERGENCE)
        self.item_ids = tuple(prompts)
        self.expert = expert
        self.published = published
        self.group_of = group_of
        self._prompts = dict(prompts)
        self.asks = {item: content("requests", repr(p)) for item, p in prompts.items()} | dict(asks or {})
        self._learnt: dict[str, list[NDArray[np.float16]]] = {}

    def item_text(self, item_id: str) -> str:
        """Return where the item compares, as text."""
        return repr(self._prompts[item_id])

    def requests(self, item_id: str) -> Sequence[Request]:
        """Return where the item compares."""
        return self._prompts[item_id]

    def knows(self, item_id: str) -> bool:
        """Return whether the expert has answered the item."""
        return item_id in self._learnt

    def learn(self, item_id: str, answers: Sequence[Answer]) -> None:
        """Keep the expert's answers."""
        learnt = [_rounded(answer) for answer in answers]
        if not all(np.isfinite(p).all() for p in learnt):
            raise FitnessError(f"expert {self.expert!r}: expected finite probabilities, found others")
        self._learnt[item_id] = learnt

    def score(self, item_id: str, answers: Sequence[Answer]) -> float:
        """Return minus the mean divergence from the expert, in nats."""
        if item_id not in self._learnt:
            raise FitnessError(f"item '{self.name}/{item_id}': expected answers of {self.expert!r} before, found none")
        new = [_rounded(answer) for answer in answers]  # as the expert's, so that its own divergence is zero
        pairs = zip(self._learnt[item_id], new, strict=True)
        divergences = [js_divergence(p.astype(np.float32), q.astype(np.float32)) for p, q in pairs]
        return 0.0 - float(np.concatenate(divergences).mean())


def check_memory(tasks: Sequence[DivergenceTask], items: Sequence[str], *, n_tokens: int) -> None:
    """Check that the distributions of those items, `task/item`, that are compared with experts fit in memory."""
    wanted = set(items)
    compared = [task.requests(i) for task in tasks for i in task.item_ids if f"{task.name}/{i}" in wanted]
    n_positions = sum(place.n_positions for places in compared for place in places if isinstance(place, NextTokens))
    needed = n_positions * n_tokens * _BYTES
    if needed > _MAX_BYTES:
        raise FitnessError(
            f"{', '.join(task.name for task in tasks)}: expected next-token distributions of at most "
            f"{_MAX_BYTES / 2**30:.0f} GiB, found {needed / 2**30:.1f} GiB ({n_positions} positions x {n_tokens} "
            f"tokens x {_BYTES} bytes); give them fewer items, or use smaller splits"
        )


def js_divergence(log_p: Floats, log_q: Floats) -> Floats:
    """Return the Jensen-Shannon divergences, (n_positions,) in [0, log 2] nats.

    JS = (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2, of (n_positions, n_vocabulary) log-probabilities.
    """
    p, q = np.exp(log_p), np.exp(log_q)
    log_m = np.log(np.maximum((p + q) / 2, np.finfo(np.float32).tiny))
    divergence: Floats = (p * (log_p - log_m) + q * (log_q - log_m)).sum(axis=-1) / 2
    return np.maximum(divergence, 0.0)


def _rounded(answer: Answer) -> NDArray[np.float16]:
    assert isinstance(answer, Distributions)
    limit = np.finfo(np.float16)
    return np.maximum(answer.log_probabilities, limit.min).astype(np.float16)
