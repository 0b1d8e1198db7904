"""What comes around a question before a model reads it, as items are told of it."""

from __future__ import annotations

from typing import Protocol, TypeAlias

Turn: TypeAlias = tuple[str, str]  # role, content


class Frame(Protocol):
    """Makes whole prompts."""

    def __call__(self, question: str, system: str | None = None, turns: tuple[Turn, ...] | None = None, /) -> str:
        """Return the whole prompt of a question, or of the turns of a chat that stand in its place.

        A system message goes before the campaign's. Raises FitnessError for turns without a chat template.
        """
        ...
