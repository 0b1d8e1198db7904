"""Output heads where some parents tie theirs to the embedding and others do not: everybody gets one of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search_spaces.weights.parents import Checkpoint


def with_own_heads(checkpoints: Mapping[str, Checkpoint]) -> dict[str, Checkpoint]:
    """Return the parents, all tied or all untied.

    If one is untied, each tied one has its embedding as its head, under the untied one's name and without a copy, and
    says so in its config: the merged model then has a head of its own.
    """
    untied = [checkpoint for checkpoint in checkpoints.values() if not checkpoint.tied and checkpoint.head is not None]
    if not untied:
        return dict(checkpoints)
    head = untied[0].head
    assert head is not None
    return {name: _untied(checkpoint, head) for name, checkpoint in checkpoints.items()}


def head_is_embedding(checkpoint: Checkpoint) -> bool:
    """Return whether a checkpoint's head of its own is nothing but its embedding."""
    head, embedding = checkpoint.head, checkpoint.embedding
    return head is not None and embedding is not None and checkpoint.lazy(head) is checkpoint.lazy(embedding)


def _untied(checkpoint: Checkpoint, head: str) -> Checkpoint:
    said_untied = checkpoint.config.get("tie_word_embeddings") is False  # without a head: the preflight's to refuse
    if not checkpoint.tied or checkpoint.embedding is None or said_untied:
        return checkpoint
    tensors = {checkpoint.head or head: checkpoint.lazy(checkpoint.embedding)}
    return checkpoint.having(tensors, {**checkpoint.config, "tie_word_embeddings": False})
