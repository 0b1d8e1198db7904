"""Keeps the answers of a search's front and landmarks, and lets go of the others' as it goes on."""

from __future__ import annotations

from evomerge.archive import Archive
from evomerge.campaign.events import CandidateTold, SearchEnded
from evomerge.results.front import read_front

_EVERY = 64  # candidates; of longer searches an eighth, so that looking at the front stays a small part of them


class FrontAnswers:
    """Is called with a search's events; see `answers: front`.

    Who is on the front is known only after scoring, and its answers cost as much as scoring to ask for again: so all
    come with the scores, and every so often those of candidates that left the front, or never were on it, are deleted.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive, self._left = archive, _EVERY

    def __call__(self, event: object) -> None:
        """Count who was told."""
        if isinstance(event, CandidateTold):
            self._left -= 1
        if isinstance(event, SearchEnded) or self._left <= 0:
            drop_others(self._archive)
            self._left = max(_EVERY, self._archive.n_candidates // 8)


def drop_others(archive: Archive) -> None:
    """Delete the answers to search items of candidates that are neither on the front, nor picked, nor landmarks."""
    landmarks = {candidate.number for candidate in archive.landmarks()}
    archive.answers.drop_others(landmarks | read_front(archive).picked.keys())
