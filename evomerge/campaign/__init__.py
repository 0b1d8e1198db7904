"""One search from start to finish, and how it resumes."""

from evomerge.campaign.campaign import Campaign
from evomerge.campaign.constraints import Constraints
from evomerge.campaign.owner_file import RunDirectoryError
from evomerge.campaign.past import CampaignError, SearchInterruptedError
from evomerge.campaign.progress import Ending, Limits, Progress
from evomerge.campaign.run_directory import RunDirectory

__all__ = [
    "Campaign",
    "CampaignError",
    "Constraints",
    "Ending",
    "Limits",
    "Progress",
    "RunDirectory",
    "RunDirectoryError",
    "SearchInterruptedError",
]
