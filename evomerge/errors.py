"""Which errors are a user's to mend, and what exit code they give."""

from __future__ import annotations

from evomerge.archive import ArchiveError
from evomerge.campaign.loop import CampaignError, SearchInterruptedError
from evomerge.config.errors import ConfigError
from evomerge.front import PickError
from evomerge.optimisers.errors import OptimiserError
from evomerge.run_directory import RunDirectoryError
from evomerge.verification.result import VerificationError
from evomerge.workers.errors import WorkerSetupError
from fitness.errors import FitnessError
from search_spaces.errors import SpaceError

WRONG_USAGE = (ConfigError, OptimiserError, PickError)
WORK_FAILED = (
    ArchiveError,
    CampaignError,
    FitnessError,
    OSError,
    RunDirectoryError,
    SearchInterruptedError,
    SpaceError,
    VerificationError,
    WorkerSetupError,
)


def exit_code(error: Exception) -> int | None:
    """Return 2 for wrong usage or config, 1 for work that failed, None for a defect of evomerge itself."""
    if isinstance(error, WRONG_USAGE):
        return 2
    return 1 if isinstance(error, WORK_FAILED) else None
