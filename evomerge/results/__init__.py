"""What came out of a search: its front, the verdict on held-out items, pages and figures, model cards.

    archive = Archive.read(Path("runs/mine/archive.sqlite"))
    read_front(archive).points[0].estimate.mean
    pick(archive, "knee").recipe
    Plots(Path("runs/mine/archive.sqlite")).front().show()

The page is `evomerge.results.report.report`; `evomerge.load("runs/mine")` offers all of it.
"""

from evomerge.results.front import CampaignFront, FrontPoint, front_as_json, read_front
from evomerge.results.model_card import model_card
from evomerge.results.picks import PickError, Picks, pick, read_picks
from evomerge.results.report import Plots
from evomerge.results.verification import Verification, VerificationError, Verifier

__all__ = [
    "CampaignFront",
    "FrontPoint",
    "PickError",
    "Picks",
    "Plots",
    "Verification",
    "VerificationError",
    "Verifier",
    "front_as_json",
    "model_card",
    "pick",
    "read_front",
    "read_picks",
]
