"""Campaigns of several stages: each a run of its own, and its winner a parent of the next."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from evomerge.api.events import Callback, tell_all
from evomerge.api.exporting import export
from evomerge.api.given import Given
from evomerge.archive import Archive
from evomerge.campaign.run_directory import RunDirectory
from evomerge.config import CampaignConfig
from evomerge.config.stages import OWN_SECTIONS, stage_config
from evomerge.config.yaml_document import write_yaml
from evomerge.results.front import pick

WINNER = "winner"


def run_stages(
    config: CampaignConfig, directory: RunDirectory, given: Given, callbacks: Sequence[Callback] = ()
) -> None:
    """Search stage after stage; a campaign without stages is one search.

    The last stage is the run itself, so that everything that reads the run directory speaks of it. The others lie in
    `stages/`, with the whole campaign's file. A stage is over once its winner is exported: what the campaign says of it
    later is not looked at again.

    Args:
        config: resolved.
        directory: new, or of an earlier session of the same campaign.
        given: objects of the user's own; for campaigns of one stage.
        callbacks: are called with every event.

    Raises:
        SearchInterruptedError: SIGINT or SIGTERM; what was running was finished and saved.
        Exception: every error of the rooms below, with everything told before it saved.
    """
    if not config.stages:
        _search(config, directory, given, callbacks)
        return
    winners: dict[str, str] = {}
    directory.stages.mkdir(parents=True, exist_ok=True)
    said = {key: value for key, value in config.model_dump().items() if key not in OWN_SECTIONS}
    (directory.stages / "campaign.yaml").write_text(write_yaml(said))
    for index, stage in enumerate(config.stages[:-1]):
        own = RunDirectory(directory.stages / f"{index + 1}-{stage.name}")
        winner = (own.exports / WINNER).absolute()
        tell_all(callbacks, stage.name, f"stage {index + 1} of {len(config.stages)}")
        if not winner.exists():
            _search(stage_config(config, index, winners), own, given, callbacks)
            with contextlib.closing(Archive.read(own.archive)) as archive:
                number = pick(archive, stage.pick).number
            tell_all(callbacks, f"candidate {number} is in {export(own, str(number), winner)}")
        winners[stage.name] = str(winner)
    tell_all(callbacks, config.stages[-1].name, "last stage")
    _search(stage_config(config, len(config.stages) - 1, winners), directory, given, callbacks)


def _search(config: CampaignConfig, directory: RunDirectory, given: Given, callbacks: Sequence[Callback]) -> None:
    from evomerge.api.session import opened

    with opened(config, directory, given, callbacks) as session:
        session.run()
