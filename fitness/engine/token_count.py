"""How many tokens models have run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TokenCount:
    """Tokens that models have run, and those that they have generated.

    Attributes:
        prompt: of questions and answers to choose from; what requests share is run once, and counted once.
        generated: of completions.
    """

    prompt: int = 0
    generated: int = 0

    def __add__(self, other: TokenCount) -> TokenCount:
        return TokenCount(self.prompt + other.prompt, self.generated + other.generated)

    def __sub__(self, other: TokenCount) -> TokenCount:
        return TokenCount(self.prompt - other.prompt, self.generated - other.generated)


class TokenTally:
    """Adds up what one engine's models run.

    Attributes:
        count: so far.
    """

    def __init__(self) -> None:
        self.count = TokenCount()

    def add(self, *, prompt: int = 0, generated: int = 0) -> None:
        """Count more."""
        self.count += TokenCount(prompt, generated)
