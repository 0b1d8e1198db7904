"""Public item banks and response matrices: files of other projects, read and matched to a campaign's items."""

from evomerge.responses.bank.bank import Bank
from evomerge.responses.bank.matching import CampaignItems, MatchedBank, match
from evomerge.responses.bank.reading import read_bank

__all__ = ["Bank", "CampaignItems", "MatchedBank", "match", "read_bank"]
