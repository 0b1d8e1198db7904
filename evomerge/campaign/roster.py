"""Numbers the candidates of a campaign, and knows who is pending: asked, and not told yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from evomerge.candidate import Candidate
from search_spaces.recipe import Recipe
from search_spaces.space import Landmark


class Roster:
    """Everybody that was asked.

    Attributes:
        n_asked: how many candidates, landmarks included.
        n_proposals: how many an optimiser proposed.
        pending: number -> candidate.
    """

    def __init__(self) -> None:
        self.n_asked = 0
        self.n_proposals = 0
        self.pending: dict[int, Candidate] = {}

    def landmarks(self, landmarks: Sequence[Landmark]) -> list[Candidate]:
        """Return the landmarks as candidates; they come first."""
        return [Candidate(i, landmark.recipe, landmark.name) for i, landmark in enumerate(landmarks)]

    def proposals(self, genomes: Sequence[Any], decode: Callable[[Any], Recipe]) -> list[Candidate]:
        """Return genomes as the candidates that come next."""
        return [
            Candidate(self.n_asked + i, decode(genome), None, self.n_proposals + i, genome)
            for i, genome in enumerate(genomes)
        ]

    def enter(self, candidates: Sequence[Candidate]) -> None:
        """Make candidates pending that were asked just now, or then."""
        self.n_asked += len(candidates)
        self.n_proposals += sum(candidate.proposal is not None for candidate in candidates)
        self.pending.update((candidate.number, candidate) for candidate in candidates)

    def number_of(self, proposal: int) -> int:
        """Return the candidate's number of a proposal."""
        return self.n_asked - self.n_proposals + proposal

    @property
    def landmarks_pending(self) -> bool:
        """Whether a landmark has not been told yet."""
        return any(candidate.proposal is None for candidate in self.pending.values())
