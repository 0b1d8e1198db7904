"""A candidate of a run becomes a checkpoint on disk."""

from __future__ import annotations

from pathlib import Path

from evomerge.api.tables import reading
from evomerge.campaign.run_directory import RunDirectory
from evomerge.results.front import pick
from evomerge.results.model_card import model_card
from evomerge.results.verification.result import Verification
from search_spaces.errors import SpaceError


def export(directory: RunDirectory, choice: str, out: Path) -> Path:
    """Write one candidate as an ordinary Hugging Face checkpoint, with a card that tells how it was found.

    Args:
        directory: of a run.
        choice: see `evomerge.results.front.pick`.
        out: must not exist.

    Raises:
        PickError: nothing answers to the choice.
        ArchiveError: there is no candidate of this number.
        SpaceError: the parents cannot be read, or `out` exists.
    """
    from search_spaces.export.export import export as write_checkpoint
    from search_spaces.mergekit.yaml import to_mergekit
    from search_spaces.parents.parents import Parents

    with reading(directory.archive) as archive:
        candidate = pick(archive, choice)
        noted = archive.noted("verification")
        verification = None if noted is None else Verification.from_json(noted)
        try:
            mergekit = to_mergekit(candidate.recipe)
        except SpaceError:  # not every recipe can be said in mergekit's language
            mergekit = None
        card = model_card(archive, candidate, verification, mergekit_yaml=mergekit)
    extra = {} if mergekit is None else {"mergekit_config.yml": mergekit}
    parents = Parents.of(candidate.recipe)
    return write_checkpoint(candidate.recipe, parents, out, model_card=card, extra_files=extra)
