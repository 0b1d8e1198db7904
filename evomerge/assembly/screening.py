"""From `racing.screen` of a campaign file to the label-free screen."""

from __future__ import annotations

from collections.abc import Sequence

from evomerge.config import CampaignConfig
from fitness.estimators import Objective
from fitness.screening import Screening
from fitness.tasks.suite import TaskSuite


def build_screening(config: CampaignConfig, suite: TaskSuite, objectives: Sequence[Objective]) -> Screening | None:
    """Return the screen of a config; None without one.

    Args:
        config: resolved.
        suite: of the campaign.
        objectives: the config's, in its order.

    Raises:
        FitnessError: no search item has a prompt.
    """
    if config.racing is None or config.racing.screen is None:
        return None
    named = zip(config.objectives, objectives, strict=True)
    return Screening(
        suite,
        objectives,
        n_prompts=config.racing.screen.prompts,
        parents=[parent.name for parent in config.parents],
        checkpoints=list(config.sources),
        experts={task: o.expert for o, objective in named if o.expert is not None for task in objective.tasks},
    )
